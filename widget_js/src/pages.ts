/** Rows of documents as they stand in lists: asked for in pages, the last few thousand kept. */

import { type ReadonlySignal, signal } from "@preact/signals";
import { failure } from "./loading";
import type { PageRow, SampleRow } from "./protocol";
import type { Source } from "./source";

/** What the text of a row depends on: the concept whose highlight is marked, and what is searched. */
export interface Lens {
  concept: string | null;
  query: string;
}

export interface Problem {
  busy: boolean;
  message: string;
}

const MOST_KEPT = 4000;
const MOST_ASKED = 500;
/** While a list is scrolled fast, only what is in sight after this pause is asked for. */
const PAUSE_MS = 25;

interface Kept {
  page: PageRow;
  epoch: number;
}

export class Pages {
  readonly #kept = new Map<string, Kept>();
  readonly #asked = new Set<string>();
  readonly #sample = new Map<string, PageRow>();
  readonly #version = signal(0);
  readonly #problem = signal<Problem | null>(null);
  readonly #wanted = new Map<string, { lens: Lens; rows: readonly number[] }>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #epoch = 0;

  constructor(private readonly source: Source) {}

  /** Changes whenever rows have come. */
  get version(): ReadonlySignal<number> {
    return this.#version;
  }

  get problem(): ReadonlySignal<Problem | null> {
    return this.#problem;
  }

  get(row: number, lens: Lens): PageRow | undefined {
    return this.#kept.get(keyOf(row, lens))?.page ?? this.#sample.get(keyOf(row, { ...lens, query: "" }));
  }

  /** Rows that came with the traits, for hosts that carry no messages. */
  setSample(sample: readonly SampleRow[]): void {
    this.#sample.clear();
    for (const page of sample) {
      this.#sample.set(keyOf(page.row, { concept: page.concept_id, query: "" }), page);
      const plain = keyOf(page.row, { concept: null, query: "" });
      if (!this.#sample.has(plain)) this.#sample.set(plain, { ...page, spans: [], rationale: "" });
    }
    this.#version.value += 1;
  }

  /** What was kept may have changed: it is shown until its successor is here. */
  age(): void {
    this.#epoch += 1;
    this.#problem.value = null;
    this.#version.value += 1;
  }

  /** Asks for rows of a list that are not here; `list` names it, and its last wish is what counts. */
  want(list: string, rows: readonly number[], lens: Lens): void {
    const missing = rows.filter((row) => {
      const key = keyOf(row, lens);
      return this.#kept.get(key)?.epoch !== this.#epoch && !this.#asked.has(key);
    });
    if (missing.length === 0) {
      this.#wanted.delete(list);
      return;
    }
    this.#wanted.set(list, { lens, rows: missing.slice(0, MOST_ASKED) });
    if (this.#problem.value === null) this.#timer ??= setTimeout(this.#ask, PAUSE_MS);
  }

  readonly retry = (): void => {
    this.#problem.value = null;
    this.#ask();
  };

  dispose(): void {
    clearTimeout(this.#timer);
  }

  readonly #ask = (): void => {
    this.#timer = undefined;
    const wishes = [...this.#wanted.values()];
    this.#wanted.clear();
    for (const { lens, rows } of wishes) void this.#request(lens, rows);
  };

  async #request(lens: Lens, rows: readonly number[]): Promise<void> {
    const keys = rows.map((row) => keyOf(row, lens));
    const epoch = this.#epoch;
    for (const key of keys) this.#asked.add(key);
    try {
      const query = lens.query.trim() === "" ? {} : { query: lens.query };
      const reply = await this.source.request("rows", { rows: [...rows], concept: lens.concept, ...query });
      for (const page of reply.rows) this.#keep(keyOf(page.row, lens), { page, epoch });
    } catch (error) {
      const { busy, message } = failure(error);
      this.#problem.value = { busy, message };
      this.#wanted.set(keys.join(), { lens, rows });
    }
    for (const key of keys) this.#asked.delete(key);
    this.#version.value += 1;
  }

  #keep(key: string, kept: Kept): void {
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MOST_KEPT) break;
      this.#kept.delete(oldest);
    }
  }
}

function keyOf(row: number, { concept, query }: Lens): string {
  return `${row}\n${concept ?? ""}\n${query}`;
}
