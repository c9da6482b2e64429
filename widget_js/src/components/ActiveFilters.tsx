/** The filters that are on, each with its way out. */

import { activeFilters } from "../filters";
import type { Store } from "../store";

export function ActiveFilters({ store }: { store: Store }) {
  const filters = activeFilters(store);
  if (filters.length === 0) return null;
  return (
    <ul class="lloom-toolbar lloom-active-filters" aria-label="Filters">
      {filters.map(({ key, words, end }) => (
        <li key={key}>
          <button type="button" class="lloom-chip" aria-label={`Remove filter ${words}`} onClick={() => store.update(end)}>
            <span class="lloom-chip-text">{words}</span> <span aria-hidden="true">×</span>
          </button>
        </li>
      ))}
    </ul>
  );
}
