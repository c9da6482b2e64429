/** A window of rows over a list that is taller than an element can be: browsers end at 17 to 33 million pixels. */

/** Height of the tallest window, in px: below it, places are exact in 32-bit floats, too. */
const TALLEST = 15_000_000;
/** So many rows at either end stand where they would without a window. */
const EXACT = 1000;

export interface List {
  count: number;
  /** Height of a row in px. */
  height: number;
  /** Height of what is in sight in px. */
  room: number;
}

export interface Place {
  /** The first row of the window. */
  base: number;
  /** What is scrolled past of the window, in px; negative above it. */
  top: number;
}

/** How many rows the window has. */
export function windowOf(count: number, height: number): number {
  return Math.min(count, Math.floor(TALLEST / height));
}

/** The place at which `offset` px of the whole list are scrolled past. */
export function placeAt(offset: number, list: List): Place {
  const base = baseAt(offset, list.count * list.height - list.room, list);
  return { base, top: offset - base * list.height };
}

/** The place that a scroll bar means by `top` px of the window. */
export function placeOf(top: number, list: List): Place {
  return { base: baseAt(top, windowOf(list.count, list.height) * list.height - list.room, list), top };
}

/** The window's first row at `at` of `end` px. */
function baseAt(at: number, end: number, { count, height }: List): number {
  const edge = EXACT * height;
  const share = Math.min(1, Math.max(0, (at - edge) / (end - 2 * edge)));
  return Math.round(share * (count - windowOf(count, height)));
}
