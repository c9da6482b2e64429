/** The slice that was clicked, and the way out of it. */

import type { Store } from "../store";

export function SliceNote({ store }: { store: Store }) {
  const { slice } = store.state.value;
  const slices = store.slices.value;
  if (slice === null || slices === null) return null;
  const label = slices.labels[slice] ?? "–";
  return (
    <button
      type="button"
      class="lloom-chip"
      aria-label={`Only ${slices.column}: ${label}. Show all slices`}
      onClick={() => store.update({ slice: null })}
    >
      {slices.column}: {label} <span aria-hidden="true">×</span>
    </button>
  );
}
