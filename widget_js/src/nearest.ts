/** The document under the pointer, found through a static index of places. */

import KDBush from "kdbush";
import { toPlace, type Viewport } from "./viewport";

/** Documents without a place lie far outside and are never found. */
const NOWHERE = -1e30;

export function indexOf(places: Float32Array): KDBush {
  const index = new KDBush(places.length >>> 1, 64, Float32Array);
  for (let i = 0; i < places.length; i += 2) {
    const [x, y] = [places[i] as number, places[i + 1] as number];
    if (Number.isNaN(x) || Number.isNaN(y)) index.add(NOWHERE, NOWHERE);
    else index.add(x, y);
  }
  return index.finish();
}

/** The row nearest to a point of the screen within `reach` pixels, or null; of the selected ones only. */
export function nearest(
  index: KDBush,
  places: Float32Array,
  view: Viewport,
  left: number,
  top: number,
  reach: number,
  selected: Uint8Array | null,
): number | null {
  if (places.length === 0) return null;
  const [x, y] = toPlace(view, left, top);
  let best: number | null = null;
  let least = Infinity;
  for (const row of index.within(x, y, reach / view.scale)) {
    if (selected !== null && selected[row] !== 1) continue;
    const off = ((places[2 * row] as number) - x) ** 2 + ((places[2 * row + 1] as number) - y) ** 2;
    if (off < least) [least, best] = [off, row];
  }
  return best;
}
