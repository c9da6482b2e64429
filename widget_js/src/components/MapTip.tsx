/** The beginning of the document under the pointer. */

import { useEffect } from "preact/hooks";
import type { Point } from "../lasso";
import type { Store } from "../store";
import type { Viewport } from "../viewport";

interface Props {
  store: Store;
  row: number;
  group: string;
  color: string;
  at: Point;
  view: Viewport;
}

const WIDTH = 280;

export function MapTip({ store, row, group, color, at, view }: Props) {
  const { pages, lens } = store.documents;
  void pages.version.value;
  const seen = lens.value;
  useEffect(() => pages.want("map", [row], seen), [row, seen]);
  const page = pages.get(row, seen);
  const width = Math.min(WIDTH, view.width - 16);
  const left = Math.max(8, Math.min(view.width - width - 8, at[0] - width / 2));
  const below = at[1] < view.height / 2;
  const place = below ? { top: `${at[1] + 16}px` } : { bottom: `${view.height - at[1] + 16}px` };
  return (
    <div class="lloom-map-tip" style={{ left: `${left}px`, width: `${width}px`, ...place }}>
      <p class="lloom-map-tip-head">
        <span class="lloom-swatch" style={{ background: color }} />
        <span class="lloom-map-tip-group">{group}</span>
        {page !== undefined && <span class="lloom-note">{page.id}</span>}
      </p>
      <p class="lloom-map-tip-text">{page === undefined ? "…" : page.text}</p>
    </div>
  );
}
