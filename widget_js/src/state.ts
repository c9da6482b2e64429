/** The view's state: read from a value that may be partial or wrong, written without what is the default. */

import { type ColumnFilter, type DocSort, type RowSort, type Show, TABS, type ViewState } from "./protocol";

export const OUTLIERS = "outliers";
const SHOWS: readonly Show[] = ["matches", "non-matches", "all"];
const ROW_SORTS: readonly RowSort["by"][] = ["prevalence", "name", "codebook", "slice"];

export const DEFAULT_STATE: ViewState = {
  tab: "overview",
  concept: null,
  slice: null,
  threshold: 1,
  norm: null,
  matrix: "circles",
  row_sort: { by: "prevalence", slice: null, descending: true },
  show: "matches",
  query: "",
  scores: [],
  slices: [],
  columns: {},
  lasso: [],
  also: [],
  doc_sort: { by: "score", descending: true },
  shown_columns: null,
  color: "concept",
  document: null,
};

/** No filter but the concept and the slice that were clicked. */
export const NO_FILTERS: Pick<ViewState, "query" | "scores" | "slices" | "columns" | "lasso" | "also"> = {
  query: "",
  scores: [],
  slices: [],
  columns: {},
  lasso: [],
  also: [],
};

/** The full state for `raw`; each field that is absent or not understood takes its default. */
export function readState(raw: unknown): ViewState {
  const given = (typeof raw === "object" && raw !== null ? raw : {}) as Record<string, unknown>;
  const base = DEFAULT_STATE;
  return {
    tab: oneOf(TABS, given["tab"], base.tab),
    concept: typeof given["concept"] === "string" ? given["concept"] : null,
    slice: whole(given["slice"]),
    threshold: thresholdOf(given["threshold"]),
    norm: oneOf([null, "concept", "slice"] as const, given["norm"], base.norm),
    matrix: oneOf(["circles", "heat"] as const, given["matrix"], base.matrix),
    row_sort: readRowSort(given["row_sort"]),
    show: oneOf(SHOWS, given["show"], base.show),
    query: typeof given["query"] === "string" ? given["query"] : "",
    scores: list(given["scores"]).filter((item): item is number | null => item === null || isNumber(item)),
    slices: list(given["slices"]).filter((item): item is number | null => item === null || whole(item) !== null),
    columns: readColumns(given["columns"]),
    lasso: list(given["lasso"]).filter(isPoint),
    also: list(given["also"]).filter(isString),
    doc_sort: readDocSort(given["doc_sort"]),
    shown_columns: Array.isArray(given["shown_columns"]) ? given["shown_columns"].filter(isString) : null,
    color: typeof given["color"] === "string" ? given["color"] : base.color,
    document: whole(given["document"]),
  };
}

/** The state as it is kept: without the fields that have their default. */
export function writeState(state: ViewState): Partial<ViewState> {
  const kept = Object.entries(state).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(DEFAULT_STATE[name as keyof ViewState]),
  );
  return Object.fromEntries(kept) as Partial<ViewState>;
}

/** Whether any filter narrows the documents beyond concept, slice and threshold. */
export function isFiltered(state: ViewState): boolean {
  return (
    state.query.trim() !== "" ||
    state.scores.length > 0 ||
    state.slices.length > 0 ||
    Object.keys(state.columns).length > 0 ||
    state.lasso.length > 2 ||
    state.also.length > 0
  );
}

function readRowSort(raw: unknown): RowSort {
  const given = (typeof raw === "object" && raw !== null ? raw : {}) as Record<string, unknown>;
  const by = oneOf(ROW_SORTS, given["by"], DEFAULT_STATE.row_sort.by);
  const descending = typeof given["descending"] === "boolean" ? given["descending"] : by === "prevalence" || by === "slice";
  return { by, slice: whole(given["slice"]), descending };
}

function readDocSort(raw: unknown): DocSort {
  const given = (typeof raw === "object" && raw !== null ? raw : {}) as Record<string, unknown>;
  const by = given["by"];
  const known = isString(by) && (["score", "row", "id", "text", "slice"].includes(by) || by.startsWith("column:"));
  if (!known) return { ...DEFAULT_STATE.doc_sort };
  return { by, descending: typeof given["descending"] === "boolean" ? given["descending"] : by === "score" };
}

function readColumns(raw: unknown): Record<string, ColumnFilter> {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) return {};
  const filters: [string, ColumnFilter][] = [];
  for (const [name, value] of Object.entries(raw as Record<string, unknown>)) {
    if (typeof value !== "object" || value === null) continue;
    const given = value as Record<string, unknown>;
    const filter: ColumnFilter = {};
    if (Array.isArray(given["values"]) && given["values"].length > 0) {
      filter.values = given["values"].filter((item): item is string | null => item === null || isString(item));
    }
    if (isString(given["contains"]) && given["contains"] !== "") filter.contains = given["contains"];
    if (isNumber(given["min"])) filter.min = given["min"];
    if (isNumber(given["max"])) filter.max = given["max"];
    if (Object.keys(filter).length > 0) filters.push([name, filter]);
  }
  return Object.fromEntries(filters);
}

function thresholdOf(value: unknown): number {
  return isNumber(value) && value > 0 && value <= 1 ? value : DEFAULT_STATE.threshold;
}

function oneOf<T>(choices: readonly T[], value: unknown, otherwise: T): T {
  return choices.includes(value as T) ? (value as T) : otherwise;
}

function whole(value: unknown): number | null {
  return Number.isInteger(value) && (value as number) >= 0 ? (value as number) : null;
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function isString(value: unknown): value is string {
  return typeof value === "string";
}

function isPoint(value: unknown): value is [number, number] {
  return Array.isArray(value) && value.length === 2 && value.every(isNumber);
}
