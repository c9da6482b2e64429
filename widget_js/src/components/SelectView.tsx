/** Concept cards: choose what is scored. */

import type { Store } from "../store";

export function SelectView({ store }: { store: Store }) {
  return <section class="lloom-empty">{store.concepts.value.length} concepts</section>;
}
