/** The one place of the view's data: a signal per trait, what is computed from them, and the verbs. */

import { computed, type ReadonlySignal, signal } from "@preact/signals";
import { Documents } from "./documents";
import type {
  About,
  Concept,
  Edit,
  History,
  Label,
  MessageKind,
  Messages,
  Progress,
  SampleRow,
  Slices,
  Theme,
  Told,
  TraitName,
  Traits,
  ViewState,
} from "./protocol";
import { bestCodes, codesOf, type Scores, type Tally, tallyOf } from "./scores";
import { aligned, bytesOf, type Reply, type Source } from "./source";
import { NO_FILTERS, OUTLIERS, readState, writeState } from "./state";

const NO_ABOUT: About = {
  title: "",
  n_docs: 0,
  id_col: "",
  text_col: "",
  columns: [],
  shown_columns: [],
  sample: null,
  models: [],
  made_at: "",
};
const NO_HISTORY: History = { undo: null, redo: null, events: [] };

export class Store {
  /** Begins the ids of elements: of several views in a page, each has its own. */
  readonly id = `lloom-${Math.random().toString(36).slice(2)}`;

  readonly about: ReadonlySignal<About>;
  readonly concepts: ReadonlySignal<Concept[]>;
  readonly slices: ReadonlySignal<Slices | null>;
  readonly labels: ReadonlySignal<Label[]>;
  readonly history: ReadonlySignal<History>;
  readonly progress: ReadonlySignal<Progress | null>;
  readonly notice: ReadonlySignal<Told | null>;
  readonly chosen: ReadonlySignal<string[]>;
  readonly theme: ReadonlySignal<Theme>;
  readonly editable: ReadonlySignal<boolean>;
  readonly state: ReadonlySignal<ViewState>;

  /** Rows that came with the traits. */
  readonly sample: ReadonlySignal<SampleRow[]>;

  /** Concepts by id. */
  readonly conceptById: ReadonlySignal<Map<string, Concept>>;
  /** Concepts that have scores, in the order of the codebook. */
  readonly scoredConcepts: ReadonlySignal<Concept[]>;
  readonly scores: ReadonlySignal<Scores>;
  readonly best: ReadonlySignal<Uint8Array>;
  readonly sliceCodes: ReadonlySignal<Uint16Array | null>;
  readonly tally: ReadonlySignal<Tally>;
  /** Metadata columns shown with documents. */
  readonly shownColumns: ReadonlySignal<string[]>;
  readonly documents: Documents;
  /** The document that was opened last in this view itself. */
  opened: number | null = null;

  readonly #ends: (() => void)[] = [];
  readonly #turns = new Map<string, Promise<void>>();
  readonly #rereads = new Map<TraitName, () => void>();

  constructor(readonly source: Source) {
    this.about = this.#trait("about", (value) => value ?? NO_ABOUT);
    this.concepts = this.#trait("concepts", (value) => value ?? []);
    this.slices = this.#trait("slices", (value) => value ?? null);
    this.labels = this.#trait("labels", (value) => value ?? []);
    this.history = this.#trait("history", (value) => value ?? NO_HISTORY);
    this.progress = this.#trait("progress", (value) => value ?? null);
    this.notice = this.#trait("notice", (value) => value ?? null);
    this.chosen = this.#trait("chosen", (value) => value ?? []);
    this.theme = this.#trait("theme", (value) => value ?? "auto");
    this.sample = this.#trait("sample", (value) => value ?? []);
    this.editable = this.#trait("editable", (value) => Boolean(value));
    this.state = this.#trait("state", readState);
    const scoreIds = this.#trait("score_ids", (value) => value ?? []);
    const scoreBytes = this.#trait("scores", bytesOf);
    const sliceBytes = this.#trait("slice_codes", bytesOf);

    this.conceptById = computed(() => new Map(this.concepts.value.map((concept) => [concept.id, concept])));
    this.scores = computed(() => {
      const nDocs = this.about.value.n_docs;
      // Traits arrive one after the other: ids whose codes are not there yet are left for the next change.
      const whole = nDocs > 0 ? Math.floor(scoreBytes.value.length / nDocs) : 0;
      const ids = scoreIds.value.slice(0, whole);
      return { nDocs, ids, codes: scoreBytes.value.subarray(0, ids.length * nDocs) };
    });
    this.scoredConcepts = computed(() => {
      const ids = new Set(this.scores.value.ids);
      return this.concepts.value.filter((concept) => ids.has(concept.id));
    });
    this.sliceCodes = computed(() => {
      const bytes = sliceBytes.value;
      return bytes.length === 0 ? null : new Uint16Array(aligned(bytes, 2));
    });
    this.best = computed(() => bestCodes(this.scores.value));
    this.tally = computed(() =>
      tallyOf(this.scores.value, this.best.value, this.sliceCodes.value, this.slices.value?.labels.length ?? 0),
    );
    this.shownColumns = computed(() => {
      const { columns, shown_columns } = this.about.value;
      const wanted = this.state.value.shown_columns ?? shown_columns;
      return columns.map(({ name }) => name).filter((name) => wanted.includes(name));
    });
    this.documents = new Documents(this);
  }

  /** The codes of a concept (its best score on any concept for the outliers), or null when there are none. */
  codes(concept: string | null): Uint8Array | null {
    if (concept === null) return null;
    return concept === OUTLIERS ? this.best.value : codesOf(this.scores.value, concept);
  }

  /** The place of a concept in the tally, -1 for the outliers, null when it has no scores. */
  placeOf(concept: string): number | null {
    if (concept === OUTLIERS) return -1;
    const place = this.scores.value.ids.indexOf(concept);
    return place < 0 ? null : place;
  }

  /** Changes fields of the state here, in the other views of the model, and in Python. */
  update(patch: Partial<ViewState>): void {
    if (patch.document !== undefined) this.opened = patch.document;
    this.#set("state", writeState({ ...this.state.value, ...patch }));
  }

  /** Opens exactly the documents of a concept (null = all), of a slice, or of both: other filters end. */
  show(concept: string | null, slice: number | null = null): void {
    this.update({ ...NO_FILTERS, concept, slice, show: "matches", document: null });
  }

  /** Ends all filters but the concept. */
  reset(): void {
    // Filtering by score shows all scores; without that filter only matches are of interest again.
    const show = this.state.value.scores.length > 0 ? "matches" : this.state.value.show;
    this.update({ ...NO_FILTERS, slice: null, show });
  }

  /** Whether a column's values are read as numbers: they are aligned to the right. */
  isNumber(column: string): boolean {
    return this.about.value.columns.some(({ name, kind }) => name === column && kind === "number");
  }

  choose(ids: string[]): void {
    this.#set("chosen", ids);
  }

  request<K extends MessageKind>(kind: K, ask: Messages[K][0]): Promise<Reply<K>> {
    return this.source.request(kind, ask);
  }

  /** Asks for a change of the codebook or of a label; the ids of the concepts that came of it. */
  async edit(edit: Edit): Promise<string[]> {
    return (await this.source.request("edit", edit)).concept_ids ?? [];
  }

  /** Runs `work` once what was asked for under the same key has ended, so that it sees what came of it. */
  inTurn(key: string, work: () => Promise<void>): Promise<void> {
    const turn = (this.#turns.get(key) ?? Promise.resolve()).then(work);
    const ended = turn.catch(() => undefined).then(() => {
      if (this.#turns.get(key) === ended) this.#turns.delete(key);
    });
    this.#turns.set(key, ended);
    return turn;
  }

  dispose(): void {
    this.documents.dispose();
    for (const end of this.#ends) end();
    this.source.dispose();
  }

  #set<N extends "state" | "chosen">(name: N, value: Traits[N]): void {
    this.source.set(name, value);
    // Not every host tells a model's own views of their own changes.
    this.#rereads.get(name)?.();
  }

  #trait<N extends TraitName, T>(name: N, read: (value: Traits[N]) => T): ReadonlySignal<T> {
    const value = signal(read(this.source.get(name)));
    const reread = (): void => {
      value.value = read(this.source.get(name));
    };
    this.#rereads.set(name, reread);
    this.#ends.push(this.source.on(name, reread));
    return value;
  }
}
