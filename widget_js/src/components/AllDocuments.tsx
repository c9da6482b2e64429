/** What is known of all documents, or of all in a slice. */

import { count, percent } from "../format";
import { countOf, sizeOf } from "../scores";
import type { Store } from "../store";
import { SliceNote } from "./SliceNote";

export function AllDocuments({ store }: { store: Store }) {
  const { slice, threshold } = store.state.value;
  const tally = store.tally.value;
  const outliers = countOf(tally, -1, slice, threshold);
  const covered = outliers.scored - outliers.matches;
  const size = sizeOf(tally, slice);
  const label = slice === null ? null : (store.slices.value?.labels[slice] ?? null);
  return (
    <section class="lloom-detail" aria-label="All documents">
      <div class="lloom-detail-head">
        <h2 class="lloom-detail-name">{label === null ? "All documents" : label}</h2>
      </div>
      <p class="lloom-detail-count">
        <strong>{count(size)}</strong> {size === 1 ? "document" : "documents"}
        {outliers.scored > 0 && (
          <>
            {", "}
            <strong>{percent(covered, outliers.scored)}</strong> match at least one concept
          </>
        )}
        <SliceNote store={store} />
      </p>
      <p class="lloom-note">Choose a concept, a slice or a cell to read its documents.</p>
    </section>
  );
}
