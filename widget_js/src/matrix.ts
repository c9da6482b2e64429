/** The figures of the matrix: concepts by slices, in the measure asked for. */

import { count, counted, percent } from "./format";
import type { Norm } from "./protocol";
import { type ConceptRow, conceptRows } from "./rows";
import { countOf, sizeOf } from "./scores";
import type { Store } from "./store";

export interface MatrixCell {
  slice: number;
  matches: number;
  scored: number;
  /** What is drawn: a count or a share; null where there is nothing to take a share of. */
  value: number | null;
}

export interface MatrixRow extends ConceptRow {
  cells: MatrixCell[];
}

export interface MatrixFigures {
  labels: string[];
  /** Documents in each slice. */
  sizes: number[];
  rows: MatrixRow[];
  /** The largest value of all cells. */
  largest: number;
}

export function matrixOf(store: Store): MatrixFigures {
  const { norm, threshold } = store.state.value;
  const labels = store.slices.value?.labels ?? [];
  const tally = store.tally.value;
  const rows = conceptRows(store).map((row) => ({
    ...row,
    cells: labels.map((_, slice) => {
      const { matches, scored } = countOf(tally, row.place, slice, threshold);
      return { slice, matches, scored, value: measure(norm, matches, scored, row.matches) };
    }),
  }));
  const largest = rows.flatMap(({ cells }) => cells).reduce((most, { value }) => Math.max(most, value ?? 0), 0);
  return { labels, sizes: labels.map((_, slice) => sizeOf(tally, slice)), rows, largest };
}

/** A radius such that the circle's area is proportional to the value; none for zero. */
export function radiusOf(value: number | null, largest: number, longest: number): number {
  return value === null || largest === 0 ? 0 : longest * Math.sqrt(value / largest);
}

/** A cell in words: `Energy, slice Senate: 10 of 34 documents (29%)`. */
export function cellInWords(row: MatrixRow, cell: MatrixCell, label: string, norm: Norm): string {
  const words = `${row.name}, slice ${label}: ${count(cell.matches)} of ${counted(cell.scored, "document")} (${percent(cell.matches, cell.scored)})`;
  return norm === "concept" ? `${words}; ${percent(cell.matches, row.matches)} of all that match` : words;
}

/** A cell's value as it is written in the heat map. */
export function cellFigure(cell: MatrixCell, norm: Norm, row: MatrixRow): string {
  if (norm === null) return cell.matches === 0 ? "" : count(cell.matches);
  if (cell.value === null) return "–";
  return cell.matches === 0 ? "" : percent(cell.matches, norm === "slice" ? cell.scored : row.matches);
}

function measure(norm: Norm, matches: number, scored: number, total: number): number | null {
  if (norm === null) return matches;
  const whole = norm === "slice" ? scored : total;
  return whole === 0 ? null : matches / whole;
}
