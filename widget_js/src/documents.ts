/** The documents that the state selects: found, filtered, sorted, and read. */

import { computed, effect, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { type Column, needsColumn, type Ranks, ranksOf, readColumn, textPart } from "./columns";
import { Loading } from "./loading";
import { type Lens, Pages } from "./pages";
import { type FullDocument, NO_SLICE, NOT_SCORED } from "./protocol";
import { codesOf } from "./scores";
import { codeRanks, selectRows, sortRows } from "./selection";
import { aligned } from "./source";
import { OUTLIERS } from "./state";
import type { Store } from "./store";

export interface Selection {
  /** Rows in the order of the list. */
  rows: Uint32Array;
  /** What is still on its way: the selection will change when it is here. */
  waiting: Loading<unknown>[];
}

export interface MapPlaces {
  /** x0, y0, x1, y1, …; null when there is nothing to lay out. */
  places: Float32Array | null;
  /** Why there is nothing. */
  reason: string;
}

export class Documents {
  readonly pages: Pages;
  readonly selection: ReadonlySignal<Selection>;
  /** What the text of listed documents depends on. */
  readonly lens: ReadonlySignal<Lens>;
  /** The document in the pane, or null when none is open. */
  readonly open: ReadonlySignal<Loading<FullDocument> | null>;
  /** The row under the cursor of the list. */
  readonly cursor: Signal<number | null> = signal(null);
  readonly #columns = new Map<string, Loading<Column>>();
  readonly #ranks = new WeakMap<Column, Ranks>();
  /** By column: what its filter asks of the source, the answer on its way, and the last one that came. */
  readonly #texts = signal<ReadonlyMap<string, TextSearch>>(new Map());
  readonly #search = signal<{ query: string; loading: Loading<Uint32Array> } | null>(null);
  readonly #open = signal<Loading<FullDocument> | null>(null);
  #map: Loading<MapPlaces> | null = null;
  #lastFound: Uint32Array | null = null;
  readonly #ends: (() => void)[];

  constructor(private readonly store: Store) {
    this.pages = new Pages(store.source);
    this.open = this.#open;
    const query = computed(() => store.state.value.query.trim());
    const concept = computed(() => {
      const id = store.state.value.concept;
      return id !== null && store.conceptById.value.has(id) ? id : null;
    });
    this.lens = computed(() => ({ concept: concept.value, query: query.value }));
    const rows = computed(() => this.#select());
    this.selection = computed(() => {
      const waiting = this.#waiting();
      return { rows: sortRows(rows.value, this.#sortRanks(), store.state.value.doc_sort.descending), waiting };
    });
    // As text, so that nothing is asked again while it stays the same.
    const asked = computed(() => JSON.stringify(this.#textFilters()));
    const opened = computed(() => store.state.value.document);
    const about = computed(() => store.about.value.n_docs);
    this.#ends = [
      effect(() => this.#find(query.value)),
      effect(() => this.#match(asked.value)),
      effect(() => {
        this.#open.value = opened.value === null || opened.value >= about.value ? null : this.#ask(opened.value, query.value);
      }),
      store.scores.subscribe(() => this.#askAgain()),
      store.scores.subscribe(() => this.pages.age()),
      store.sample.subscribe((sample) => this.pages.setSample(sample)),
    ];
  }

  /** A metadata column, or `@id` or `@text`: asked for once. */
  column(name: string): Loading<Column> {
    let column = this.#columns.get(name);
    if (column === undefined) {
      column = new Loading(async () => readColumn(await this.store.request("column", { name })));
      this.#columns.set(name, column);
    }
    return column;
  }

  /** Where the documents stand on the map: asked for once. */
  map(): Loading<MapPlaces> {
    this.#map ??= new Loading(async () => {
      let reply = await this.store.request("map", {});
      // Each of these is answered when the map is there, or after a while.
      while (reply.pending === true) reply = await this.store.request("map", {});
      const { ready, reason = "", buffers } = reply;
      return { places: ready ? new Float32Array(aligned(buffers[0] ?? new Uint8Array(0), 4)) : null, reason };
    });
    return this.#map;
  }

  dispose(): void {
    for (const end of this.#ends) end();
    this.pages.dispose();
  }

  #ask(row: number, query: string): Loading<FullDocument> {
    const asked = query === "" ? {} : { query };
    return new Loading(async () => (await this.store.request("document", { row, ...asked })).document);
  }

  /** Scores have changed: what is open stays in sight until its successor is here. */
  #askAgain(): void {
    const before = this.#open.peek();
    const { document, query } = this.store.state.peek();
    if (before === null || document === null) return;
    const next = this.#ask(document, query.trim());
    const end = next.state.subscribe(({ status }) => {
      if (status === "loading") return;
      if (status === "ready" && this.#open.peek() === before) this.#open.value = next;
      queueMicrotask(() => end());
    });
  }

  #find(query: string): void {
    const search = this.#search.peek();
    if (search?.query === query) return;
    if (query === "") {
      this.#search.value = null;
      this.#lastFound = null;
      return;
    }
    const loading = new Loading(async () => rowsOf(await this.store.request("search", { query })));
    this.#search.value = { query, loading };
  }

  #textFilters(): [string, ReturnType<typeof textPart>][] {
    const { columns } = this.store.state.value;
    const known = this.store.about.value.columns;
    return Object.entries(columns).flatMap(([name, filter]) => {
      const kind = known.find((column) => column.name === name)?.kind;
      const part = kind === undefined ? null : textPart(filter, kind);
      return part === null ? [] : [[name, part]];
    });
  }

  #match(asked: string): void {
    const before = this.#texts.peek();
    const next = new Map<string, TextSearch>();
    for (const [name, part] of JSON.parse(asked) as [string, object][]) {
      const key = JSON.stringify(part);
      const known = before.get(name);
      const loading = known?.key === key ? known.loading : new Loading(async () => rowsOf(await this.store.request("matching", { name, ...part })));
      // The rows of the last words stay in sight until those of the next are here.
      next.set(name, { key, loading, last: known?.loading.value ?? known?.last ?? null });
    }
    this.#texts.value = next;
  }

  /** The columns of filters and of the order that are in the corpus. */
  #columnsInUse(): string[] {
    const { columns, doc_sort } = this.store.state.value;
    const known = new Map(this.store.about.value.columns.map(({ name, kind }) => [name, kind]));
    const sorted = sortColumn(doc_sort.by);
    const names = Object.entries(columns).flatMap(([name, filter]) => {
      const kind = known.get(name);
      return kind !== undefined && needsColumn(filter, kind) ? [name] : [];
    });
    if (sorted !== null && (sorted.startsWith("@") || known.has(sorted))) names.push(sorted);
    return [...new Set(names)];
  }

  #waiting(): Loading<unknown>[] {
    const parts: Loading<unknown>[] = this.#columnsInUse().map((name) => this.column(name));
    const search = this.#search.value;
    if (search !== null) parts.push(search.loading);
    for (const { loading } of this.#texts.value.values()) parts.push(loading);
    if (this.store.state.value.lasso.length >= 3) parts.push(this.map());
    return parts.filter((part) => part.state.value.status !== "ready");
  }

  #select(): Uint32Array {
    const { store } = this;
    const state = store.state.value;
    const columns = new Map<string, Column>();
    for (const name of this.#columnsInUse()) {
      const column = this.column(name).value;
      if (column !== null) columns.set(name, column);
    }
    const texts = new Map<string, Uint32Array>();
    for (const [name, { loading, last }] of this.#texts.value) {
      const found = loading.value ?? last;
      if (found !== null) texts.set(name, found);
    }
    const search = this.#search.value;
    // The hits of the last query stay in sight until those of the next are here.
    this.#lastFound = search?.loading.value ?? this.#lastFound;
    return selectRows(state, {
      nDocs: store.about.value.n_docs,
      codes: store.codes(state.concept),
      isConcept: state.concept !== null && store.conceptById.value.has(state.concept),
      best: store.best.value,
      also: state.also.map((id) => codesOf(store.scores.value, id)).filter((codes) => codes !== null),
      sliceCodes: store.sliceCodes.value,
      columns,
      texts,
      places: state.lasso.length >= 3 ? (this.map().value?.places ?? null) : null,
      found: search === null ? null : this.#lastFound,
    });
  }

  #sortRanks(): Ranks | null {
    const { store } = this;
    const { doc_sort, concept } = store.state.value;
    const name = sortColumn(doc_sort.by);
    if (name !== null) {
      const column = this.#columnsInUse().includes(name) ? this.column(name).value : null;
      return column === null ? null : this.#ranksOf(column);
    }
    if (doc_sort.by === "slice") {
      const codes = store.sliceCodes.value;
      return codes === null || store.slices.value === null ? null : codeRanks(codes, NO_SLICE);
    }
    if (doc_sort.by === "row") return Int32Array.from({ length: store.about.value.n_docs }, (_, row) => row);
    const codes = concept === OUTLIERS ? null : store.codes(concept);
    return codes === null ? null : codeRanks(codes, NOT_SCORED);
  }

  #ranksOf(column: Column): Ranks {
    const ranks = this.#ranks.get(column) ?? ranksOf(column);
    this.#ranks.set(column, ranks);
    return ranks;
  }
}

interface TextSearch {
  key: string;
  loading: Loading<Uint32Array>;
  last: Uint32Array | null;
}

function rowsOf({ buffers }: { buffers: Uint8Array[] }): Uint32Array {
  return new Uint32Array(aligned(buffers[0] ?? new Uint8Array(0), 4));
}

/** The column by which documents are sorted, or null when the order needs none. */
function sortColumn(by: string): string | null {
  if (by === "id" || by === "text") return `@${by}`;
  return by.startsWith("column:") ? by.slice("column:".length) : null;
}
