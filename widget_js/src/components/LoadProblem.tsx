/** Why something did not come, and the button to ask again. */

import type { Problem } from "../pages";

export function LoadProblem({ problem, onRetry }: { problem: Problem; onRetry: () => void }) {
  return (
    <p class="lloom-alert" role="alert">
      <span>{problem.busy ? "The kernel is busy and did not answer in time." : problem.message}</span>
      <button type="button" class="lloom-button" onClick={onRetry}>
        Retry
      </button>
    </p>
  );
}
