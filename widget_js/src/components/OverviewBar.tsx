/** One concept of the overview. */

import { count, counted, percent } from "../format";
import type { ConceptRow } from "../rows";

interface Props {
  row: ConceptRow;
  /** The largest share of all rows, which fills the track. */
  largest: number;
  current: boolean;
  onOpen: () => void;
}

export function OverviewBar({ row, largest, current, onOpen }: Props) {
  const { name, criteria, matches, scored, place } = row;
  const share = scored === 0 ? 0 : matches / scored;
  return (
    <li>
      <button
        type="button"
        class={`lloom-bar-row${place < 0 ? " lloom-bar-outliers" : ""}`}
        aria-current={current}
        aria-label={`${name}: ${count(matches)} of ${counted(scored, "document")}, ${percent(matches, scored)}`}
        title={`${name}\n${criteria}`}
        data-concept={row.id}
        onClick={onOpen}
      >
        <span class="lloom-bar-name">{name}</span>
        <span class="lloom-bar-track">
          {matches > 0 && <span class="lloom-bar-fill" style={{ width: `${((100 * share) / largest).toFixed(2)}%` }} />}
        </span>
        <span class="lloom-bar-count">{count(matches)}</span>
        <span class="lloom-bar-share">{percent(matches, scored)}</span>
      </button>
    </li>
  );
}
