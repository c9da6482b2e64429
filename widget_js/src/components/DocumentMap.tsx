/** Documents in two dimensions. */

import type { Store } from "../store";

export function DocumentMap({ store }: { store: Store }) {
  return <section class="lloom-empty">{store.concepts.value.length} concepts</section>;
}
