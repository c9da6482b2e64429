/** Scoring the selected concepts: what it needs, what it costs, and the button that starts it. */

import { useAsking } from "../asking";
import { useEstimate } from "../estimating";
import { counted } from "../format";
import { confirmed, price } from "../money";
import type { Store } from "../store";
import { Action } from "./Action";
import { Cost } from "./Cost";
import { Notice } from "./Notice";

export function ScoreBar({ store }: { store: Store }) {
  const asking = useAsking();
  const known = store.conceptById.value;
  const ids = store.chosen.value.filter((id) => known.has(id));
  const estimating = useEstimate(store, ids);
  const { estimate } = estimating;
  const running = store.progress.value !== null;
  const models = store.about.value.models;
  // Those with scores are asked about again only where one is missing.
  const unscored = ids.filter((id) => known.get(id)?.scored === false).length;
  const what = counted(unscored === 0 ? ids.length : unscored, "concept");
  const done = estimate !== null && estimate.n_docs === 0;
  const score = (): void => {
    if (estimate === null) return;
    void asking.ask(async () => {
      await store.request("score", { concept_ids: ids, confirmed_usd: confirmed(estimate) });
    });
  };
  return (
    <div class="lloom-scorebar">
      <div class="lloom-scorebar-text">
        {running ? (
          <p>Scoring is under way. Documents appear as they are scored.</p>
        ) : ids.length === 0 ? (
          <p>Select the concepts that are to be scored.</p>
        ) : done ? (
          <p role="status">{`The ${counted(ids.length, "selected concept")} ${ids.length === 1 ? "is" : "are"} scored.`}</p>
        ) : (
          <Cost estimating={estimating} verb="Score" />
        )}
        {!running && !done && ids.length > 0 && models.length > 0 && (
          <p class="lloom-note">{`The documents are sent to ${models.join(", ")}.`}</p>
        )}
        <Notice asking={asking} />
      </div>
      <Action
        class="lloom-button lloom-button--primary"
        off={running || ids.length === 0 || estimate === null || done || asking.waiting}
        onClick={score}
      >
        {estimate === null || done
          ? `Score ${what}`
          : `Score ${what}, ${price(estimate)}`}
      </Action>
    </div>
  );
}
