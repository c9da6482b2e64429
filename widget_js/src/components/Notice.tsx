/** What went wrong with a request, and a way to ask again. */

import type { Asking } from "../asking";

export function Notice({ asking }: { asking: Asking }) {
  const { problem, waiting } = asking;
  if (problem === null) return null;
  return (
    <div class="lloom-notice" role="alert">
      <p class="lloom-notice-text">{problem.busy ? "The kernel is busy and has not answered yet." : problem.message}</p>
      <button type="button" class="lloom-button" disabled={waiting} onClick={() => void asking.again()}>
        {problem.busy ? "Retry" : "Try again"}
      </button>
      <button type="button" class="lloom-button lloom-button--quiet" onClick={asking.dismiss}>
        Dismiss
      </button>
    </div>
  );
}
