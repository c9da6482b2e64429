/** The header of the table of documents: each column sorts. */

import type { Store } from "../store";
import { fromAbove } from "./DocumentSort";

interface Props {
  store: Store;
  columns: readonly string[];
  /** Where the header sticks. */
  top: number;
}

export function DocumentTableHead({ store, columns, top }: Props) {
  const { by, descending } = store.state.value.doc_sort;
  const sort = (next: string): void => {
    store.update({ doc_sort: { by: next, descending: by === next ? !descending : fromAbove(next) } });
  };
  const button = (name: string, label: string) => (
    <button type="button" class="lloom-table-sort" aria-pressed={by === name} title={label} onClick={() => sort(name)}>
      <span class="lloom-table-label">{label}</span>
      <span aria-hidden="true">{by === name ? (descending ? "↓" : "↑") : ""}</span>
    </button>
  );
  const sorted = (name: string) => (by !== name ? ("none" as const) : descending ? ("descending" as const) : ("ascending" as const));
  const { id_col } = store.about.value;
  return (
    <div class="lloom-table-head" role="row" aria-rowindex={1} style={{ top: `${top}px` }}>
      <div role="columnheader" class="lloom-table-score" aria-sort={sorted("score")}>
        {button("score", "Score")}
      </div>
      <div role="columnheader" class="lloom-table-two" aria-sort={by === "id" ? sorted("id") : sorted("text")}>
        {button("text", "Text")}
        {button("id", id_col === "" ? "Id" : id_col)}
      </div>
      <div role="columnheader" class="lloom-cell-rationale">
        <span class="lloom-table-label">Rationale</span>
      </div>
      {columns.map((name) => (
        <div key={name} role="columnheader" class={`lloom-cell-meta${store.isNumber(name) ? " lloom-number" : ""}`} aria-sort={sorted(`column:${name}`)}>
          {button(`column:${name}`, name)}
        </div>
      ))}
    </div>
  );
}
