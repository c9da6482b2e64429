/** By what the documents are sorted: everything there is, also what has no column in sight. */

import { OUTLIERS } from "../state";
import type { Store } from "../store";
import { FlipButton } from "./FlipButton";

/** Whether large values come first when something is newly sorted by. */
export const fromAbove = (by: string): boolean => by === "score";

export function DocumentSort({ store }: { store: Store }) {
  const { by, descending } = store.state.value.doc_sort;
  const { columns, id_col } = store.about.value;
  // Without a concept there is no score: that order is the corpus'.
  const { concept } = store.state.value;
  const judged = concept !== null && concept !== OUTLIERS;
  return (
    <div class="lloom-toolbar lloom-sort">
      <label class="lloom-toolbar">
        <span class="lloom-label">Sort</span>
        <select
          class="lloom-choice"
          aria-label="Sort documents by"
          value={!judged && by === "score" ? "row" : by}
          onChange={(event) => {
            const chosen = event.currentTarget.value;
            store.update({ doc_sort: { by: chosen, descending: fromAbove(chosen) } });
          }}
        >
          {judged && <option value="score">Score</option>}
          <option value="row">Order in the corpus</option>
          <option value="id">{id_col === "" ? "Id" : id_col}</option>
          <option value="text">Text</option>
          {store.slices.value !== null && <option value="slice">Slice</option>}
          {columns.map(({ name }) => (
            <option key={name} value={`column:${name}`}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <FlipButton descending={descending} onFlip={() => store.update({ doc_sort: { by, descending: !descending } })} />
    </div>
  );
}
