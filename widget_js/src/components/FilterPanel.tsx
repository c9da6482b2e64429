/** Filters by score, slice and metadata columns. */

import { count } from "../format";
import { histogram, sizeOf } from "../scores";
import type { Store } from "../store";
import { ColumnFilterField } from "./ColumnFilterField";
import { CheckList } from "./CheckList";

const SCORES = [1, 0.75, 0.5, 0.25, 0];

export function FilterPanel({ store }: { store: Store }) {
  const state = store.state.value;
  const slices = store.slices.value;
  const place = state.concept !== null && store.conceptById.value.has(state.concept) ? store.placeOf(state.concept) : null;
  const bins = place === null ? null : histogram(store.tally.value, place, null);
  const { columns } = store.about.value;
  return (
    <div class="lloom-filters" role="group" aria-label="Filters">
      {bins !== null && (
        <CheckList
          name="Score"
          choices={[
            ...SCORES.map((score) => ({ value: score as number | null, name: String(score), note: count(bins[score * 4] ?? 0) })),
            { value: null, name: "not scored", note: count(bins[5] ?? 0) },
          ]}
          chosen={state.scores}
          onChoose={(scores) => store.update({ scores, show: scores.length > 0 ? "all" : "matches" })}
        />
      )}
      {slices !== null && (
        <CheckList
          name={slices.column}
          choices={slices.labels.map((name, slice) => ({
            value: slice as number | null,
            name,
            note: count(sizeOf(store.tally.value, slice)),
          }))}
          chosen={state.slices}
          onChoose={(chosen) => store.update({ slices: chosen })}
        />
      )}
      {columns.map((column) => (
        <ColumnFilterField key={column.name} store={store} column={column} />
      ))}
      {bins === null && slices === null && columns.length === 0 && <p class="lloom-note">There is nothing to filter by.</p>}
    </div>
  );
}
