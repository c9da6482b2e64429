/** Concepts by prevalence. */

import type { Store } from "../store";

export function Overview({ store }: { store: Store }) {
  return <section class="lloom-empty">{store.concepts.value.length} concepts</section>;
}
