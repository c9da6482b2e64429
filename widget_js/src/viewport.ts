/** Which part of the map is in sight: from places to pixels and back. */

import type { Point } from "./lasso";

/** `x` and `y` are the place in the middle, `scale` the pixels per unit; y points up on the map. */
export interface Viewport {
  x: number;
  y: number;
  scale: number;
  width: number;
  height: number;
}

/** Room around the outermost documents, as a share of the side. */
const MARGIN = 0.06;

/** The viewport that shows all places. */
export function fit(places: Float32Array, width: number, height: number): Viewport {
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < places.length; i += 2) {
    const x = places[i] as number;
    const y = places[i + 1] as number;
    if (x < left) left = x;
    if (x > right) right = x;
    if (y < low) low = y;
    if (y > high) high = y;
  }
  if (left > right) return { x: 0, y: 0, scale: 1, width, height };
  const inner = 1 - 2 * MARGIN;
  const scale = Math.min((width * inner) / Math.max(right - left, 1e-9), (height * inner) / Math.max(high - low, 1e-9));
  return { x: (left + right) / 2, y: (low + high) / 2, scale: Math.min(scale, 1e7), width, height };
}

export function toScreen(view: Viewport, x: number, y: number): Point {
  return [view.width / 2 + (x - view.x) * view.scale, view.height / 2 - (y - view.y) * view.scale];
}

export function toPlace(view: Viewport, left: number, top: number): Point {
  return [view.x + (left - view.width / 2) / view.scale, view.y - (top - view.height / 2) / view.scale];
}

/** Moved so that what was under the pointer follows it. */
export function pan(view: Viewport, dx: number, dy: number): Viewport {
  return { ...view, x: view.x - dx / view.scale, y: view.y + dy / view.scale };
}

/** Zoomed by `factor`, with the place under (left, top) kept where it is; `home` bounds how far. */
export function zoom(view: Viewport, factor: number, left: number, top: number, home: Viewport): Viewport {
  const scale = Math.min(home.scale * 200, Math.max(home.scale * 0.5, view.scale * factor));
  const [x, y] = toPlace(view, left, top);
  return {
    ...view,
    scale,
    x: x - (left - view.width / 2) / scale,
    y: y + (top - view.height / 2) / scale,
  };
}

/** The corners of what is in sight, as a polygon in the map's coordinates. */
export function corners(view: Viewport): Point[] {
  return [
    toPlace(view, 0, 0),
    toPlace(view, view.width, 0),
    toPlace(view, view.width, view.height),
    toPlace(view, 0, view.height),
  ];
}
