/** What stands for text that is on its way. */

export function Skeleton({ lines = 1 }: { lines?: number }) {
  return (
    <>
      {Array.from({ length: lines }, (_, line) => (
        <span key={line} class="lloom-skeleton" />
      ))}
      <span class="lloom-unseen">Loading</span>
    </>
  );
}
