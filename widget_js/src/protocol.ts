/** What travels between the view and its data: traits, the state, messages (docs/view-protocol.md). */

/** The code of a document that has no score on a concept. */
export const NOT_SCORED = 255;
/** The code of a document that lies in no slice. */
export const NO_SLICE = 65535;
/** The code of a document without a label in a category. */
export const NO_LABEL = 65535;
/** The rank of a document without a text. */
export const NO_RANK = 4294967295;

export type Theme = "auto" | "light" | "dark";
export type ColumnKind = "number" | "date" | "category" | "text";
export type Verdict = "right" | "wrong" | "unsure";

export interface ColumnInfo {
  name: string;
  kind: ColumnKind;
  labels?: string[];
}

export interface About {
  title: string;
  n_docs: number;
  id_col: string;
  text_col: string;
  columns: ColumnInfo[];
  shown_columns: string[];
  sample: { shown: number; of: number } | null;
  models: string[];
  made_at: string;
  show_highlights?: boolean;
  include_outliers?: boolean;
}

export interface Concept {
  id: string;
  name: string;
  criteria: string;
  summary: string;
  seed: string | null;
  active: boolean;
  /** Clusters or documents that speak for it. */
  support: number | null;
  examples: number[];
  scored: boolean;
  stale: boolean;
  merged_from: string[];
}

export interface Slices {
  column: string;
  kind: string;
  labels: string[];
  n_outside?: number;
}

export interface Label {
  row: number;
  concept_id: string;
  verdict: Verdict;
  note: string;
  /** The score that was judged; null = there was none. */
  score: number | null;
  /** False when the document has another score since, or the concept another criterion. */
  current: boolean;
}

export interface HistoryEvent {
  kind: string;
  at: string;
  text: string;
}

export interface History {
  undo: string | null;
  redo: string | null;
  events: HistoryEvent[];
}

export interface Progress {
  step: string;
  done: number;
  total: number;
  failures: number;
  usd: number | null;
  seconds: number;
  cancellable: boolean;
}

/** Something to tell that answers no request, such as why a scoring stopped. */
export interface Told {
  level: "info" | "warning" | "error";
  text: string;
  at: string;
}

/** The tabs in their order; `components/panels.ts` says what each shows. */
export const TABS = [
  "overview",
  "matrix",
  "map",
  "overlap",
  "select",
  "history",
] as const;
export type Tab = (typeof TABS)[number];
export type Norm = null | "concept" | "slice";
export type Show = "matches" | "non-matches" | "all";

export interface RowSort {
  by: "prevalence" | "name" | "codebook" | "slice";
  slice: number | null;
  descending: boolean;
}

export interface DocSort {
  /** `score`, `row`, `id`, `text`, `slice` or `column:` and a name. */
  by: string;
  descending: boolean;
}

export interface ColumnFilter {
  /** Labels, null = missing. */
  values?: (string | null)[];
  /** Occurs in the value as a page shows it, whatever its letter case. */
  contains?: string;
  min?: number;
  max?: number;
}

/** All that makes the view look as it does; the same value set again gives the same picture. */
export interface ViewState {
  tab: Tab;
  /** A concept's id, `"outliers"`, or null for all documents. */
  concept: string | null;
  slice: number | null;
  threshold: number;
  norm: Norm;
  matrix: "circles" | "heat";
  row_sort: RowSort;
  show: Show;
  query: string;
  /** Scores on the concept, null = not scored. */
  scores: (number | null)[];
  /** Slice numbers, null = in no slice. */
  slices: (number | null)[];
  columns: Record<string, ColumnFilter>;
  lasso: [number, number][];
  /** Ids of concepts that the documents match, too. */
  also: string[];
  doc_sort: DocSort;
  shown_columns: string[] | null;
  color: string;
  document: number | null;
}

export type Span = [number, number];
export type Meta = Record<string, string>;

/** A document as it stands in a list: its text around the highlight. */
export interface PageRow {
  row: number;
  id: string;
  text: string;
  cut: boolean;
  spans: Span[];
  /** Where the query occurs. */
  hits?: Span[];
  /** False where the model's quote does not occur in the document. */
  verified?: boolean;
  rationale: string;
  bullets: string[];
  meta: Meta;
}

/** A row of the trait `sample`: as it stands in the page of a concept. */
export interface SampleRow extends PageRow {
  concept_id: string;
}

export interface DocumentScore {
  concept_id: string;
  score: number | null;
  rationale: string;
  spans: Span[];
  verified: boolean;
}

/** A whole document. */
export interface FullDocument {
  row: number;
  id: string;
  text: string;
  meta: Meta;
  bullets: string[];
  quotes: Span[];
  hits?: Span[];
  scores: DocumentScore[];
}

export interface Estimate {
  n_docs: number;
  n_requests: number;
  usd_low: number | null;
  usd_high: number | null;
  known: boolean;
  free: boolean;
}

/** A concept that is not there yet. */
export interface Draft {
  name: string;
  criteria: string;
}

export interface SplitPart {
  name: string;
  criteria: string;
  rows: number[];
  n: number;
}

export type Edit =
  | { action: "rename"; concept_id: string; name: string }
  | { action: "criteria"; concept_id: string; criteria: string }
  | { action: "merge"; concept_ids: string[]; name: string; criteria: string }
  | { action: "split"; concept_id: string; parts: { name: string; criteria: string; rows: number[] }[] }
  | { action: "remove"; concept_ids: string[] }
  | { action: "add"; name: string; criteria: string }
  | { action: "undo" }
  | { action: "redo" }
  | { action: "label"; row: number; concept_id: string; verdict: Verdict | null; note: string }
  | { action: "choose"; concept_ids: string[] };

type Empty = Record<never, never>;

/** Each kind of message: what it asks (without id and kind) and the reply (without id and ok). */
export interface Messages {
  rows: [{ rows: number[]; concept: string | null; query?: string }, { rows: PageRow[] }];
  document: [{ row: number; query?: string }, { document: FullDocument }];
  search: [{ query: string }, Empty];
  column: [{ name: string }, { kind: ColumnKind; labels?: string[] }];
  matching: [{ name: string; values?: (string | null)[]; contains?: string }, Empty];
  map: [Empty, { ready: boolean; pending?: boolean; reason?: string }];
  estimate: [{ concept_ids: string[]; drafts?: Draft[] }, Estimate];
  split: [{ concept_id: string }, { parts: SplitPart[] }];
  edit: [Edit, { concept_ids: string[] }];
  score: [{ concept_ids: string[]; confirmed_usd: number | null }, Empty];
  cancel: [Empty, Empty];
  export: [{ format: "csv" | "json" | "html"; scope: "selection" | "all" }, { file_name: string; mime: string }];
  python: [Empty, { code: string }];
}

export type MessageKind = keyof Messages;

/** The traits of the model, or of a standalone page. */
export interface Traits {
  protocol: number;
  kind: "view" | "select";
  editable: boolean;
  theme: Theme;
  about: About;
  concepts: Concept[];
  score_ids: string[];
  /** uint8, concept-major over `score_ids`: score × 4, `NOT_SCORED` where there is none. */
  scores: DataView | Uint8Array | ArrayBuffer | null;
  slices: Slices | null;
  /** uint16, little-endian, per document; `NO_SLICE` = in none. */
  slice_codes: DataView | Uint8Array | ArrayBuffer | null;
  labels: Label[];
  history: History;
  progress: Progress | null;
  notice: Told | null;
  state: Partial<ViewState>;
  chosen: string[];
  sample: SampleRow[];
}

export type TraitName = keyof Traits;
