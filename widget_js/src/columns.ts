/** Metadata columns as typed arrays, with the ranks by which documents are sorted and the tests of filters. */

import { fold } from "./folding";
import { type ColumnFilter, type ColumnKind, NO_LABEL, NO_RANK } from "./protocol";
import { aligned } from "./source";

export interface Column {
  kind: ColumnKind;
  labels: string[];
  /** Numbers (NaN = missing), numbers of labels (`NO_LABEL`) or ranks of texts (`NO_RANK`). */
  values: Float64Array | Uint16Array | Uint32Array;
}

/** Places in an order: equal values share one, `MISSING` = no value. */
export type Ranks = Int32Array;
export const MISSING = -1;

export function readColumn(reply: { kind: ColumnKind; labels?: string[]; buffers: Uint8Array[] }): Column {
  const bytes = reply.buffers[0] ?? new Uint8Array(0);
  const labels = reply.labels ?? [];
  switch (reply.kind) {
    case "number":
    case "date":
      return { kind: reply.kind, labels, values: new Float64Array(aligned(bytes, 8)) };
    case "category":
      return { kind: reply.kind, labels, values: new Uint16Array(aligned(bytes, 2)) };
    case "text":
      return { kind: reply.kind, labels, values: new Uint32Array(aligned(bytes, 4)) };
  }
}

export function ranksOf({ values }: Column): Ranks {
  if (values instanceof Float64Array) return numberRanks(values);
  const gap = values instanceof Uint16Array ? NO_LABEL : NO_RANK;
  return Int32Array.from(values, (value) => (value === gap ? MISSING : value));
}

/** Ranks of numbers: typed arrays sort fast by themselves, and each number is then looked up. */
function numberRanks(values: Float64Array): Ranks {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort();
  let n = 0;
  for (const value of sorted) if (n === 0 || value !== sorted[n - 1]) sorted[n++] = value;
  const ranks = new Int32Array(values.length);
  for (let row = 0; row < values.length; row++) {
    const value = values[row] as number;
    let low = 0;
    let high = n;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sorted[middle] as number) < value) low = middle + 1;
      else high = middle;
    }
    ranks[row] = Number.isNaN(value) ? MISSING : low;
  }
  return ranks;
}

/** What of a filter only the source can answer, since the texts of a column are not here; null when nothing is. */
export function textPart(filter: ColumnFilter, kind: ColumnKind): Pick<ColumnFilter, "values" | "contains"> | null {
  const { values = [], contains = "" } = filter;
  const part: Pick<ColumnFilter, "values" | "contains"> = {};
  if (kind === "text" && values.length > 0) part.values = values;
  if (fold(contains) !== "") part.contains = contains;
  return Object.keys(part).length === 0 ? null : part;
}

/** Whether a filter needs the numbers or labels of its column. */
export function needsColumn(filter: ColumnFilter, kind: ColumnKind): boolean {
  return filter.min !== undefined || filter.max !== undefined || (kind !== "text" && (filter.values ?? []).length > 0);
}

/** Which rows pass a filter, 1 or 0 each; null when all do. Texts are left out of account: see `textPart`. */
export function passing(column: Column, filter: ColumnFilter): Uint8Array | null {
  const { kind, values } = column;
  const ranged = filter.min !== undefined || filter.max !== undefined;
  const wanted = filter.values !== undefined && filter.values.length > 0 ? filter.values : null;
  if (!ranged && wanted === null) return null;
  const passes = new Uint8Array(values.length).fill(1);
  if (ranged) {
    if (kind !== "number" && kind !== "date") return passes.fill(0);
    const { min = -Infinity, max = Infinity } = filter;
    for (let row = 0; row < passes.length; row++) {
      const value = values[row] as number;
      if (!(value >= min && value <= max)) passes[row] = 0;
    }
  }
  if (wanted !== null && kind === "category") {
    const codes = new Set(wanted.map((label) => (label === null ? NO_LABEL : column.labels.indexOf(label))));
    for (let row = 0; row < passes.length; row++) if (!codes.has(values[row] as number)) passes[row] = 0;
  } else if (wanted !== null && kind !== "text") {
    const texts = new Set(wanted.map((value) => value ?? ""));
    for (let row = 0; row < passes.length; row++) {
      if (!texts.has(shownNumber(values[row] as number, kind))) passes[row] = 0;
    }
  }
  return passes;
}

/** A number or date as a page shows it. */
function shownNumber(value: number, kind: ColumnKind): string {
  if (Number.isNaN(value)) return "";
  return kind === "date" ? new Date(value).toISOString().slice(0, 19).replace("T", " ").replace(" 00:00:00", "") : String(value);
}
