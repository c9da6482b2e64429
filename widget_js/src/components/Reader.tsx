/** What is known of the chosen concept, and its documents. */

import type { Store } from "../store";

export function Reader({ store }: { store: Store }) {
  return <section class="lloom-empty">{store.concepts.value.length} concepts</section>;
}
