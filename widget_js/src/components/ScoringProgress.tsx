/** Scoring under way, and its cancel button. */

import type { Store } from "../store";

export function ScoringProgress({ store }: { store: Store }) {
  return <section class="lloom-empty">{store.concepts.value.length} concepts</section>;
}
