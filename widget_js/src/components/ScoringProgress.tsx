/** Scoring under way: how far it is, what it cost, and the button that ends it; else what the session has to tell. */

import { useState } from "preact/hooks";
import { count } from "../format";
import type { Store } from "../store";
import { Action } from "./Action";
import { NoticeLine } from "./NoticeLine";

export function ScoringProgress({ store }: { store: Store }) {
  const progress = store.progress.value;
  const [problem, setProblem] = useState("");
  const [cancelling, setCancelling] = useState(false);
  if (progress === null) return <NoticeLine store={store} />;
  const { step, done, total, failures, usd, cancellable } = progress;
  const cancel = (): void => {
    setCancelling(true);
    setProblem("");
    store.request("cancel", {}).catch((error: unknown) => {
      setCancelling(false);
      setProblem(error instanceof Error ? error.message : String(error));
    });
  };
  return (
    <div class="lloom-progress">
      <progress class="lloom-progress-bar" max={Math.max(1, total)} value={done} aria-label={step} />
      <span class="lloom-progress-text" role="status">
        {step}: {count(done)} of {count(total)}
        {failures > 0 && `, ${count(failures)} failed`}
        {usd !== null && usd > 0 && `, $${usd.toFixed(2)} so far`}
      </span>
      <span class="lloom-spring" />
      {problem !== "" && <span class="lloom-problem">{problem}</span>}
      {cancellable && (
        <Action class="lloom-button" off={cancelling} onClick={cancel}>
          {cancelling ? "Cancelling …" : "Cancel"}
        </Action>
      )}
    </div>
  );
}
