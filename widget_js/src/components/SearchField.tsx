/** The search of texts. */

import type { Store } from "../store";
import { useTyped } from "../typing";

export function SearchField({ store }: { store: Store }) {
  const typed = useTyped(store.state.value.query, (query) => store.update({ query }));
  return <input class="lloom-input lloom-search" type="search" placeholder="Search the texts" aria-label="Search the texts" {...typed} />;
}
