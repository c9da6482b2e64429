/** What scoring would need, as one line of text. */

import type { Estimating } from "../estimating";
import { counted } from "../format";
import { price } from "../money";

/** `verb` begins the line: "Re-score", "Score". */
export function Cost({ estimating, verb }: { estimating: Estimating; verb: string }) {
  const { estimate, problem } = estimating;
  if (problem !== null) {
    return (
      <p class="lloom-cost" role="status">
        {problem.busy ? "The kernel is busy: no estimate yet." : `No estimate: ${problem.message}`}{" "}
        <button type="button" class="lloom-link" onClick={estimating.again}>
          Retry
        </button>
      </p>
    );
  }
  if (estimate === null) {
    return (
      <p class="lloom-cost" role="status">
        Estimating…
      </p>
    );
  }
  return (
    <p class="lloom-cost" role="status">
      {`${verb} ${counted(estimate.n_docs, "document")}, `}
      <strong>{price(estimate)}</strong>
      {estimate.n_requests > 0 && ` (${counted(estimate.n_requests, "request")})`}
    </p>
  );
}
