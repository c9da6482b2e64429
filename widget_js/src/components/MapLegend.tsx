/** What the colours of the map stand for; a click on an entry narrows the documents to it. */

import type { Grouping } from "../grouping";
import { cssOf, type Inks } from "../inks";
import type { Store } from "../store";

interface Props {
  store: Store;
  grouping: Grouping;
  inks: Inks;
  /** A group that is to stand out, or null. */
  onLight: (group: number | null) => void;
}

export function MapLegend({ store, grouping, inks, onLight }: Props) {
  const { groups, title } = grouping;
  const dark = (event: FocusEvent | MouseEvent): void => {
    if (!(event.currentTarget as HTMLElement).contains(event.relatedTarget as Node | null)) onLight(null);
  };
  return (
    <div class="lloom-map-legend">
      <div class="lloom-map-legend-head">
        <p class="lloom-map-legend-title" title={title}>
          {title}
        </p>
        {store.state.value.concept !== null && (
          <button
            type="button"
            class="lloom-link"
            onClick={() => store.update({ concept: null, also: [], show: "matches", document: null })}
          >
            All concepts
          </button>
        )}
      </div>
      <ul class="lloom-map-legend-list" onMouseLeave={dark} onFocusOut={dark}>
        {groups.map(({ name, ink, n, patch, pressed }, at) => {
          const inside = (
            <>
              <span class="lloom-swatch" style={{ background: cssOf(inks.of(ink)) }} />
              <span class="lloom-map-legend-name">{name}</span>
              <span class="lloom-map-legend-n">{n.toLocaleString("en-US")}</span>
            </>
          );
          return (
            <li key={at} onMouseEnter={() => onLight(at)}>
              {patch === null ? (
                <span class="lloom-map-legend-item" title={name}>
                  {inside}
                </span>
              ) : (
                <button
                  type="button"
                  class="lloom-map-legend-item"
                  title={name}
                  aria-pressed={pressed}
                  onFocus={() => onLight(at)}
                  onClick={() => store.update({ ...patch, document: null })}
                >
                  {inside}
                </button>
              )}
            </li>
          );
        })}
      </ul>
    </div>
  );
}
