/** By what the rows of the overview and the matrix are sorted, and in which direction. */

import type { RowSort } from "../protocol";
import type { Store } from "../store";
import { FlipButton } from "./FlipButton";

export function RowSortControl({ store }: { store: Store }) {
  const sort = store.state.value.row_sort;
  const slices = store.slices.value?.labels ?? [];
  const choose = (value: string): void => {
    const slice = value.startsWith("slice:") ? Number(value.slice(6)) : null;
    const by = (slice === null ? value : "slice") as RowSort["by"];
    store.update({ row_sort: { by, slice, descending: by === "prevalence" || by === "slice" } });
  };
  const flip = (): void => store.update({ row_sort: { ...sort, descending: !sort.descending } });
  return (
    <div class="lloom-toolbar lloom-sort">
      <label class="lloom-toolbar">
        <span class="lloom-label">Sort</span>
        <select
          class="lloom-choice"
          value={sort.by === "slice" ? `slice:${sort.slice ?? 0}` : sort.by}
          onChange={(event) => choose(event.currentTarget.value)}
        >
          <option value="prevalence">Prevalence</option>
          <option value="name">Name</option>
          <option value="codebook">Codebook order</option>
          {slices.length > 0 && (
            <optgroup label="Share in slice">
              {slices.map((label, slice) => (
                <option key={slice} value={`slice:${slice}`}>
                  {label}
                </option>
              ))}
            </optgroup>
          )}
        </select>
      </label>
      <FlipButton descending={sort.descending} onFlip={flip} />
    </div>
  );
}
