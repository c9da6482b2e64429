/** Names written on the map where a group lies dense, as far as it lies anywhere in particular. */

import type { Grouping } from "./grouping";
import type { Point } from "./lasso";
import { toScreen, type Viewport } from "./viewport";

export interface Spot {
  group: number;
  at: Point;
}

export interface PlacedLabel {
  group: number;
  text: string;
  left: number;
  top: number;
}

/** Cells per side of the grid in which documents are counted. */
const CELLS = 24;
/** A name is written where its group is at least this many times as frequent as on the whole map. */
const LIFT = 2;
/** And where at least this share of the group lies: a few documents side by side are chance. */
const LEAST_PEAK = 0.08;
/** Groups of fewer documents than this share of all are left to the legend. */
const LEAST_SHARE = 0.005;
const LONGEST = 26;
const LETTER_PX = 6.4;
const LINE_PX = 15;

/** For each named group the middle of its densest part; largest groups first. */
export function spotsOf(grouping: Grouping, places: Float32Array, home: Viewport): Spot[] {
  if (!grouping.direct || home.width === 0) return [];
  const nGroups = grouping.groups.length;
  const side = Math.max(home.width, home.height) / home.scale / CELLS;
  const cellOf = (offset: number): number => Math.min(CELLS - 1, Math.max(0, Math.floor(offset / side + CELLS / 2)));
  const counts = new Uint32Array(nGroups * CELLS * CELLS);
  const all = new Uint32Array(CELLS * CELLS);
  let placed = 0;
  const cells = new Int32Array(grouping.of.length).fill(-1);
  for (let row = 0; row < cells.length; row++) {
    const x = places[2 * row] as number;
    const y = places[2 * row + 1] as number;
    if (Number.isNaN(x) || Number.isNaN(y)) continue;
    const cell = cellOf(y - home.y) * CELLS + cellOf(x - home.x);
    const at = (grouping.of[row] as number) * CELLS * CELLS + cell;
    cells[row] = cell;
    counts[at] = (counts[at] as number) + 1;
    all[cell] = (all[cell] as number) + 1;
    placed += 1;
  }
  const spots: Spot[] = [];
  for (let group = 0; group < nGroups; group++) {
    const { ink, n } = grouping.groups[group] as Grouping["groups"][number];
    if ("grey" in ink || n < placed * LEAST_SHARE) continue;
    const own = counts.subarray(group * CELLS * CELLS, (group + 1) * CELLS * CELLS);
    let [best, most] = [0, 0];
    for (let cell = 0; cell < own.length; cell++) {
      const around = sumAround(own, cell);
      if (around > most) [best, most] = [cell, around];
    }
    const expected = (n / placed) * sumAround(all, best);
    if (most < LIFT * expected || most < n * LEAST_PEAK) continue;
    spots.push({ group, at: middle(grouping.of, group, cells, best, places) });
  }
  return spots.sort((a, b) => (grouping.groups[b.group]?.n ?? 0) - (grouping.groups[a.group]?.n ?? 0));
}

/** The labels that fit without touching, in sight, first come first. */
export function placeLabels(spots: readonly Spot[], grouping: Grouping, view: Viewport): PlacedLabel[] {
  const taken: { left: number; right: number; top: number }[] = [];
  const labels: PlacedLabel[] = [];
  for (const { group, at } of spots) {
    const name = grouping.groups[group]?.name ?? "";
    const text = name.length > LONGEST ? `${[...name].slice(0, LONGEST - 1).join("").trimEnd()}…` : name;
    const [x, top] = toScreen(view, ...at);
    if (x < 0 || x > view.width || top < 0 || top > view.height) continue;
    const half = (text.length * LETTER_PX) / 2;
    const left = Math.min(view.width - half - 4, Math.max(half + 4, x));
    const touches = taken.some((other) => left - half < other.right && left + half > other.left && Math.abs(top - other.top) < LINE_PX);
    if (touches) continue;
    taken.push({ left: left - half, right: left + half, top });
    labels.push({ group, text, left, top });
  }
  return labels;
}

function sumAround(counts: Uint32Array, cell: number): number {
  const [row, column] = [Math.floor(cell / CELLS), cell % CELLS];
  let sum = 0;
  for (let j = Math.max(0, row - 1); j <= Math.min(CELLS - 1, row + 1); j++) {
    for (let i = Math.max(0, column - 1); i <= Math.min(CELLS - 1, column + 1); i++) sum += counts[j * CELLS + i] as number;
  }
  return sum;
}

/** The mean place of a group's documents in and around a cell. */
function middle(of: Uint8Array, group: number, cells: Int32Array, cell: number, places: Float32Array): Point {
  const [row, column] = [Math.floor(cell / CELLS), cell % CELLS];
  let [x, y, n] = [0, 0, 0];
  for (let document = 0; document < of.length; document++) {
    const at = cells[document] as number;
    if (of[document] !== group || at < 0) continue;
    if (Math.abs(Math.floor(at / CELLS) - row) > 1 || Math.abs((at % CELLS) - column) > 1) continue;
    x += places[2 * document] as number;
    y += places[2 * document + 1] as number;
    n += 1;
  }
  return [x / n, y / n];
}
