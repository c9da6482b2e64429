/** In which direction something is sorted, and the other one. */

export function FlipButton({ descending, onFlip }: { descending: boolean; onFlip: () => void }) {
  return (
    <button
      type="button"
      class="lloom-button lloom-button--quiet lloom-flip"
      aria-label={descending ? "Sorted descending; sort ascending" : "Sorted ascending; sort descending"}
      title={descending ? "Descending" : "Ascending"}
      onClick={onFlip}
    >
      {descending ? "↓" : "↑"}
    </button>
  );
}
