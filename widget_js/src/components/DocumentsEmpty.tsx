/** What stands where no document passes: why, and the way on. */

import { counted } from "../format";
import { rowFor } from "../rows";
import { countOf } from "../scores";
import { isFiltered, OUTLIERS } from "../state";
import type { Store } from "../store";
import { Empty } from "./Empty";

export function DocumentsEmpty({ store }: { store: Store }) {
  const state = store.state.value;
  if (isFiltered(state)) {
    return (
      <Empty title="No document passes these filters">
        <button type="button" class="lloom-button" onClick={() => store.reset()}>
          Reset filters
        </button>
      </Empty>
    );
  }
  if (state.concept === OUTLIERS) return <Empty title="No outliers">Every scored document here matches a concept.</Empty>;
  const row = rowFor(store, state.concept);
  if (row === null && state.concept !== null) return <Empty title="Not scored yet" />;
  if (row === null) return <Empty title="No documents" />;
  if (state.show !== "matches") return <Empty title="No document here" />;
  const lower = [0.75, 0.5, 0.25].find(
    (threshold) => threshold < state.threshold && countOf(store.tally.value, row.place, state.slice, threshold).matches > 0,
  );
  return (
    <Empty title={`No document matches at ${state.threshold}`}>
      {lower !== undefined && (
        <button type="button" class="lloom-button" onClick={() => store.update({ threshold: lower })}>
          Show {counted(countOf(store.tally.value, row.place, state.slice, lower).matches, "document")} from {lower}
        </button>
      )}
    </Empty>
  );
}
