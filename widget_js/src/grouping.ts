/** By what the map is coloured: a group for each document, with names, counts and what a click on it does. */

import type { Column } from "./columns";
import { counted } from "./format";
import { type ColumnInfo, type Concept, NO_LABEL, NO_SLICE, NOT_SCORED, type Slices, type ViewState } from "./protocol";
import { codeOf, type Scores } from "./scores";

/** How a group is drawn: a hue of the palette, a step of a ramp (0 to 1), or grey. */
export type Ink = { hue: number } | { ramp: number } | { grey: number };

export interface Group {
  name: string;
  ink: Ink;
  n: number;
  /** What a click on the legend sets, and whether it is set; null when a click does nothing. */
  patch: Partial<ViewState> | null;
  pressed: boolean;
}

export interface Grouping {
  title: string;
  /** Whether the names tell something on the map itself, and not only in the legend. */
  direct: boolean;
  groups: Group[];
  /** The group of each document. */
  of: Uint8Array;
}

/** Hues that stay apart for colour-blind readers; further groups share a grey. */
export const HUES = 7;
const BINS = 5;
const GREY = { other: 0.55, none: 0.28 };

/** Documents by their strongest concept, among the concepts with most matches. */
export function byStrongest(scores: Scores, concepts: readonly Concept[], matches: readonly number[], state: ViewState): Grouping {
  const { nDocs, ids, codes } = scores;
  const lowest = codeOf(state.threshold);
  const order = ids.map((_, k) => k).sort((a, b) => (matches[b] as number) - (matches[a] as number) || a - b);
  const named = order.slice(0, HUES);
  const rest = order.slice(HUES);
  const NONE = named.length + (rest.length > 0 ? 1 : 0);
  const of = new Uint8Array(nDocs).fill(NONE);
  const top = new Uint8Array(nDocs);
  // A rare concept tells more of a document than a common one: on equal scores the rarest wins.
  const place = (k: number, group: number): void => {
    for (let row = 0; row < nDocs; row++) {
      const code = codes[k * nDocs + row] as number;
      if (code !== NOT_SCORED && code >= lowest && code > (top[row] as number)) {
        top[row] = code;
        of[row] = group;
      }
    }
  };
  for (let i = named.length - 1; i >= 0; i--) place(named[i] as number, i);
  for (const k of rest) place(k, named.length);
  const byId = new Map(concepts.map((concept) => [concept.id, concept]));
  const groups: Group[] = named.map((k, hue) => {
    const id = ids[k] as string;
    return { name: byId.get(id)?.name ?? id, ink: { hue }, n: 0, patch: { concept: id, show: "matches" }, pressed: false };
  });
  if (rest.length > 0) groups.push({ name: counted(rest.length, "other concept"), ink: { grey: GREY.other }, n: 0, patch: null, pressed: false });
  groups.push({ name: "No match", ink: { grey: GREY.none }, n: 0, patch: { concept: "outliers" }, pressed: false });
  return sized({ title: "Strongest concept", direct: true, groups, of });
}

/** Documents by their score on one concept. */
export function byScore(codes: Uint8Array, concept: Concept, threshold: number): Grouping {
  const lowest = codeOf(threshold);
  const of = Uint8Array.from(codes, (code) => (code === NOT_SCORED ? 3 : code >= lowest ? 0 : code > 0 ? 1 : 2));
  const group = (name: string, ink: Ink, patch: Partial<ViewState> | null): Group => ({ name, ink, n: 0, patch, pressed: false });
  const groups = [
    group("Match", { hue: 0 }, { show: "matches" }),
    group("Below the threshold", { hue: 1 }, null),
    group("No match", { grey: GREY.other }, { show: "non-matches" }),
    group("Not scored", { grey: GREY.none }, null),
  ];
  return dropEmpty(sized({ title: concept.name, direct: false, groups, of }));
}

export function bySlice(codes: Uint16Array, slices: Slices, state: ViewState): Grouping {
  const ordered = slices.kind === "number" || slices.kind === "date";
  return byLabel(slices.column, codes, slices.labels, NO_SLICE, ordered, "In no slice", (label) => ({
    patch: label === null ? null : { slices: state.slices.length === 1 && state.slices[0] === label ? [] : [label] },
    pressed: label !== null && state.slices.includes(label),
  }));
}

export function byColumn(info: ColumnInfo, column: Column, state: ViewState): Grouping | null {
  const filter = state.columns[info.name];
  const without = Object.fromEntries(Object.entries(state.columns).filter(([name]) => name !== info.name));
  if (column.kind === "category") {
    return byLabel(info.name, column.values as Uint16Array, column.labels, NO_LABEL, false, "Missing", (label) => {
      const text = label === null ? null : (column.labels[label] as string);
      const pressed = filter?.values?.includes(text) ?? false;
      return { pressed, patch: { columns: pressed ? without : { ...state.columns, [info.name]: { values: [text] } } } };
    });
  }
  return column.kind === "text" ? null : byNumber(info, column, state, without);
}

/** Numbers and dates in groups of about equal size. */
function byNumber(info: ColumnInfo, column: Column, state: ViewState, without: ViewState["columns"]): Grouping {
  const values = column.values as Float64Array;
  const sorted = values.filter((value) => !Number.isNaN(value)).sort();
  const bounds: number[] = [];
  for (let i = 0; i <= BINS && sorted.length > 0; i++) {
    const bound = sorted[Math.min(sorted.length - 1, Math.floor((i * sorted.length) / BINS))] as number;
    if (bound !== bounds[bounds.length - 1]) bounds.push(bound);
  }
  const nBins = Math.max(1, bounds.length - 1);
  const of = new Uint8Array(values.length);
  for (let row = 0; row < values.length; row++) {
    const value = values[row] as number;
    let bin = nBins;
    if (!Number.isNaN(value)) for (bin = 0; bin < nBins - 1 && value >= (bounds[bin + 1] as number); ) bin++;
    of[row] = bin;
  }
  const filter = state.columns[info.name];
  const text = (value: number): string =>
    column.kind === "date" ? new Date(value).toISOString().slice(0, 10) : value.toLocaleString("en-US", { maximumSignificantDigits: 4 });
  const groups = Array.from({ length: nBins }, (_, bin): Group => {
    const [min, max] = [bounds[bin] ?? 0, bounds[bin + 1] ?? bounds[bin] ?? 0];
    const pressed = filter?.min === min && filter?.max === max;
    return {
      name: `${text(min)} to ${text(max)}`,
      ink: { ramp: nBins === 1 ? 1 : bin / (nBins - 1) },
      n: 0,
      patch: { columns: pressed ? without : { ...state.columns, [info.name]: { min, max } } },
      pressed,
    };
  });
  groups.push({ name: "Missing", ink: { grey: GREY.none }, n: 0, patch: null, pressed: false });
  return dropEmpty(sized({ title: info.name, direct: false, groups, of }));
}

function byLabel(
  title: string,
  codes: Uint16Array,
  labels: readonly string[],
  gap: number,
  ordered: boolean,
  nameOfGap: string,
  click: (label: number | null) => { patch: Partial<ViewState> | null; pressed: boolean },
): Grouping {
  const sizes = new Uint32Array(labels.length);
  for (const code of codes) if (code < labels.length) sizes[code] = (sizes[code] as number) + 1;
  const bySize = labels.map((_, at) => at).sort((a, b) => (sizes[b] as number) - (sizes[a] as number) || a - b);
  const named = (ordered ? labels.map((_, at) => at).slice(0, 250) : bySize.slice(0, HUES)).sort((a, b) => a - b);
  const places = new Map(named.map((label, group) => [label, group]));
  const others = labels.length - named.length;
  const NONE = named.length + (others > 0 ? 1 : 0);
  const of = Uint8Array.from(codes, (code) => (code === gap ? NONE : (places.get(code) ?? named.length)));
  const groups: Group[] = named.map((label, at) => ({
    name: labels[label] as string,
    ink: ordered ? { ramp: named.length === 1 ? 1 : at / (named.length - 1) } : { hue: at },
    n: 0,
    ...click(label),
  }));
  if (others > 0) groups.push({ name: counted(others, "other"), ink: { grey: GREY.other }, n: 0, patch: null, pressed: false });
  groups.push({ name: nameOfGap, ink: { grey: GREY.none }, n: 0, ...click(null) });
  return dropEmpty(sized({ title, direct: !ordered, groups, of }));
}

function sized(grouping: Grouping): Grouping {
  for (const group of grouping.of) (grouping.groups[group] as Group).n += 1;
  return grouping;
}

/** Without groups that no document is in. */
function dropEmpty({ groups, of, ...rest }: Grouping): Grouping {
  const kept = groups.filter(({ n }) => n > 0);
  const places = groups.map((group) => kept.indexOf(group));
  return { ...rest, groups: kept, of: of.map((group) => places[group] as number) };
}
