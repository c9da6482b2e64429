/** The filters that are on, in words, each with the change of the state that ends it. */

import { count, day } from "./format";
import type { ColumnFilter, ColumnKind, ViewState } from "./protocol";
import { OUTLIER_NAME } from "./rows";
import { OUTLIERS } from "./state";
import type { Store } from "./store";

export interface ActiveFilter {
  key: string;
  words: string;
  end: Partial<ViewState>;
}

export function activeFilters(store: Store): ActiveFilter[] {
  const state = store.state.value;
  const slices = store.slices.value;
  const labelOf = (slice: number | null): string => (slice === null ? "none" : (slices?.labels[slice] ?? `${slice}`));
  const found: ActiveFilter[] = [];
  const add = (key: string, words: string, end: Partial<ViewState>): void => {
    found.push({ key, words, end });
  };
  if (state.slice !== null && slices !== null) add("slice", `${slices.column}: ${labelOf(state.slice)}`, { slice: null });
  if (state.slices.length > 0 && slices !== null) {
    add("slices", `${slices.column}: ${state.slices.map(labelOf).join(", ")}`, { slices: [] });
  }
  if (state.query.trim() !== "") add("query", `“${state.query.trim()}”`, { query: "" });
  for (const id of state.also) {
    const name = store.conceptById.value.get(id)?.name ?? id;
    add(`also ${id}`, `also ${name}`, { also: state.also.filter((other) => other !== id) });
  }
  if (state.scores.length > 0) {
    add("scores", `score: ${state.scores.map((score) => score ?? "not scored").join(", ")}`, { scores: [], show: "matches" });
  }
  if (state.lasso.length > 2) add("lasso", "drawn on the map", { lasso: [] });
  for (const [name, filter] of Object.entries(state.columns)) {
    const kind = store.about.value.columns.find((column) => column.name === name)?.kind ?? "category";
    add(`column ${name}`, `${name}: ${inWords(filter, kind)}`, { columns: without(state.columns, name) });
  }
  // Among other filters the concept is one, too: the heading above the list may be out of sight.
  const name = state.concept === OUTLIERS ? OUTLIER_NAME : store.conceptById.value.get(state.concept ?? "")?.name;
  if (found.length > 0 && name !== undefined) found.unshift({ key: "concept", words: name, end: { concept: null } });
  return found;
}

/** The filters of columns with one more, another, or (null) one less. */
export function withFilter(
  columns: Record<string, ColumnFilter>,
  name: string,
  filter: ColumnFilter | null,
): Record<string, ColumnFilter> {
  const others = Object.entries(without(columns, name));
  return Object.fromEntries(filter === null || Object.keys(filter).length === 0 ? others : [...others, [name, filter]]);
}

function without(columns: Record<string, ColumnFilter>, name: string): Record<string, ColumnFilter> {
  return Object.fromEntries(Object.entries(columns).filter(([other]) => other !== name));
}

function inWords({ values, contains = "", min, max }: ColumnFilter, kind: ColumnKind): string {
  const written = (value: number): string => (kind === "date" ? day(value) || String(value) : count(value));
  const parts: string[] = [];
  if (values !== undefined) parts.push(values.map((value) => value ?? "missing").join(", "));
  if (contains.trim() !== "") parts.push(`“${contains.trim()}”`);
  if (min !== undefined && max !== undefined) parts.push(`${written(min)} to ${written(max)}`);
  else if (min !== undefined) parts.push(`from ${written(min)}`);
  else if (max !== undefined) parts.push(`up to ${written(max)}`);
  return parts.join("; ");
}
