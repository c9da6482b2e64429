/** Which concepts share documents. */

import type { Store } from "../store";

export function Overlap({ store }: { store: Store }) {
  return <section class="lloom-empty">{store.concepts.value.length} concepts</section>;
}
