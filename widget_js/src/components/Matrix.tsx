/** Concepts by slices. */

import type { Store } from "../store";

export function Matrix({ store }: { store: Store }) {
  return <section class="lloom-empty">{store.concepts.value.length} concepts</section>;
}
