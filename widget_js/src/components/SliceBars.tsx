/** The share of matches in each slice, with 95% intervals; small groups are marked, since a bar alone misleads there. */

import { count, counted, percent } from "../format";
import type { ConceptRow } from "../rows";
import { countOf } from "../scores";
import type { Store } from "../store";
import { wilson } from "../wilson";

/** Fewer scored documents than this make a small group. */
export const SMALL = 20;

export function SliceBars({ store, row }: { store: Store; row: ConceptRow }) {
  const slices = store.slices.value;
  if (slices === null || slices.labels.length === 0) return null;
  const { threshold, slice: chosen, concept } = store.state.value;
  const tally = store.tally.value;
  const bars = slices.labels.map((label, slice) => {
    const { matches, scored } = countOf(tally, row.place, slice, threshold);
    return { label, slice, matches, scored, ...wilson(matches, scored) };
  });
  const known = bars.filter(({ scored }) => scored > 0);
  const anySmall = known.some(({ scored }) => scored < SMALL);
  const most = Math.min(1, Math.max(0.05, ...known.map(({ high }) => high)));
  const at = (share: number): string => `${((100 * Math.min(share, most)) / most).toFixed(2)}%`;
  return (
    <figure class="lloom-slices">
      <figcaption class="lloom-caption">
        Share by {slices.column} <span class="lloom-note">with 95% intervals</span>
      </figcaption>
      <ul class="lloom-slice-bars">
        {bars.map(({ label, slice, matches, scored, low, high }) => {
          const small = scored > 0 && scored < SMALL;
          const words = `${label}: ${count(matches)} of ${counted(scored, "document")}, ${percent(matches, scored)}`;
          const between = scored === 0 ? "" : `; 95% interval ${percent(low, 1)} to ${percent(high, 1)}`;
          return (
            <li key={slice}>
              <button
                type="button"
                class={`lloom-slice-bar${small ? " lloom-slice-bar--small" : ""}`}
                aria-pressed={chosen === slice}
                aria-label={`${words}${between}${small ? "; small group" : ""}`}
                title={`${words}${between}`}
                onClick={() => store.show(concept, chosen === slice ? null : slice)}
              >
                <span class="lloom-slice-name">{label}</span>
                <span class="lloom-slice-track">
                  {matches > 0 && <span class="lloom-slice-fill" style={{ width: at(matches / scored) }} />}
                  {scored > 0 && (
                    <span class="lloom-whisker" style={{ left: at(low), width: `calc(${at(high)} - ${at(low)})` }} />
                  )}
                </span>
                <span class="lloom-slice-share">
                  {percent(matches, scored)}
                  {small ? "*" : ""}
                </span>
                <span class="lloom-slice-count">
                  {count(matches)} of {count(scored)}
                </span>
              </button>
            </li>
          );
        })}
      </ul>
      {anySmall && <p class="lloom-note">* fewer than {SMALL} documents: read the interval, not the bar</p>}
    </figure>
  );
}
