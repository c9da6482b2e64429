/** What was done to the concepts, and undo and redo. */

import type { Store } from "../store";

export function HistoryList({ store }: { store: Store }) {
  return <section class="lloom-empty">{store.concepts.value.length} concepts</section>;
}
