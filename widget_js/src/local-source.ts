/** The data source of a standalone page: traits and compressed blocks that stand in the page itself. */

import { fold } from "./folding";
import { LocalBlocks, type LocalPlan } from "./local-blocks";
import { csvOf, jsonOf, type OutDocument, pythonOf } from "./local-export";
import { fullOf, metaAt, pageOf } from "./local-reading";
import { type Concept, type MessageKind, type Messages, NOT_SCORED, type TraitName, type Traits } from "./protocol";
import { bytesOf, type Reply, type Source, SourceError } from "./source";
import { readState } from "./state";

type Answer<K extends MessageKind> = (ask: Messages[K][0]) => Promise<Reply<K>>;

export class LocalSource implements Source {
  readonly editable = false;
  /** The rows that are selected now, in order; the view says so, since it is the one that knows. */
  selected: () => Uint32Array = () => new Uint32Array(0);
  readonly #listeners = new Map<string, Set<() => void>>();
  readonly #codes: Uint8Array;
  #folded: Promise<string[]> | null = null;
  readonly #columns = new Map<string, Promise<string[]>>();

  private constructor(
    private readonly traits: Traits,
    private readonly blocks: LocalBlocks,
  ) {
    this.#codes = bytesOf(traits.scores);
  }

  static async open(page: Document): Promise<LocalSource> {
    const json = page.getElementById("lloom-traits")?.textContent;
    if (json == null) throw new Error("they are missing");
    const traits = JSON.parse(json) as Traits & { local: LocalPlan };
    const blocks = new LocalBlocks(page, traits.local);
    const [scores, slice_codes] = await Promise.all([blocks.bytes("scores"), blocks.bytes("slice_codes")]);
    return new LocalSource({ ...traits, scores, slice_codes }, blocks);
  }

  get<N extends TraitName>(name: N): Traits[N] {
    return this.traits[name];
  }

  on(name: TraitName, listener: () => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  set<N extends "state" | "chosen">(name: N, value: Traits[N]): void {
    this.traits[name] = value;
    for (const listener of this.#listeners.get(name) ?? []) listener();
  }

  async request<K extends MessageKind>(kind: K, ask: Messages[K][0]): Promise<Reply<K>> {
    const answer = this.#answers[kind] as Answer<K> | undefined;
    if (answer === undefined) throw new SourceError("refused", "A saved page cannot be changed. Open the view in a notebook for that.");
    try {
      return await answer(ask);
    } catch (error) {
      if (error instanceof SourceError) throw error;
      throw new SourceError("refused", `The data of this page cannot be read: ${error instanceof Error ? error.message : String(error)}.`);
    }
  }

  dispose(): void {
    this.#listeners.clear();
  }

  readonly #answers: { [K in MessageKind]?: Answer<K> } = {
    rows: async ({ rows, concept, query = "" }) => {
      const place = concept === null ? -1 : this.traits.score_ids.indexOf(concept);
      const pages = rows.map(async (row) => {
        const { block, at } = await this.blocks.at(row);
        return pageOf(block, at, row, place, query);
      });
      return { rows: await Promise.all(pages), buffers: [] };
    },
    document: async ({ row, query = "" }) => {
      const { block, at } = await this.blocks.at(row);
      return { document: fullOf(block, at, row, this.traits.score_ids, this.#codesOf(row), query), buffers: [] };
    },
    search: async ({ query }) => {
      const needle = fold(query);
      const texts = await (this.#folded ??= this.#foldAll());
      const found: number[] = [];
      texts.forEach((text, row) => {
        if (text.includes(needle)) found.push(row);
      });
      return { buffers: [new Uint8Array(Uint32Array.from(found).buffer)] };
    },
    column: async ({ name }) => {
      const column = this.blocks.plan.columns.find((item) => item.name === name);
      if (column === undefined) throw new SourceError("refused", `This page does not hold the column "${name}".`);
      const labels = column.labels === undefined ? {} : { labels: column.labels };
      return { kind: column.kind, ...labels, buffers: [await this.blocks.bytes(column.blob)] };
    },
    matching: async ({ name, values = [], contains = "" }) => {
      const [wanted, needle] = [new Set(values.map((value) => value ?? "")), fold(contains)];
      const found: number[] = [];
      (await this.#shown(name)).forEach((value, row) => {
        if ((wanted.size === 0 || wanted.has(value)) && (needle === "" || fold(value).includes(needle))) found.push(row);
      });
      return { buffers: [new Uint8Array(Uint32Array.from(found).buffer)] };
    },
    map: async () => {
      const { map } = this.blocks.plan;
      if (map === null) return { ready: false, reason: "This page was saved before the documents were laid out. Open the map in the notebook, then save the page again.", buffers: [] };
      return { ready: true, buffers: [await this.blocks.bytes(map)] };
    },
    export: async ({ format, scope }) => {
      if (format === "html") throw new SourceError("refused", "This is a saved page already.");
      const rows = scope === "selection" ? this.selected() : Uint32Array.from({ length: this.traits.about.n_docs }, (_, row) => row);
      const concepts = this.#scored();
      const documents: OutDocument[] = [];
      for (const row of rows) documents.push(await this.#out(row, concepts));
      const { id_col, text_col } = this.traits.about;
      const content = format === "csv" ? csvOf(documents, concepts, id_col, text_col) : jsonOf(documents, concepts);
      return {
        file_name: `${scope === "selection" ? "lloom-selection" : "lloom-documents"}.${format}`,
        mime: format === "csv" ? "text/csv" : "application/json",
        buffers: [new TextEncoder().encode(content)],
      };
    },
    python: async () => ({ code: pythonOf(readState(this.traits.state)), buffers: [] }),
  };

  #scored(): Concept[] {
    const byId = new Map(this.traits.concepts.map((concept) => [concept.id, concept]));
    return this.traits.score_ids.map((id) => byId.get(id)).filter((concept) => concept !== undefined);
  }

  #codesOf(row: number): number[] {
    const { n_docs } = this.traits.about;
    return this.traits.score_ids.map((_, concept) => this.#codes[concept * n_docs + row] ?? NOT_SCORED);
  }

  async #out(row: number, concepts: readonly Concept[]): Promise<OutDocument> {
    const { block, at } = await this.blocks.at(row);
    const { id, text, scores } = fullOf(block, at, row, concepts.map(({ id }) => id), this.#codesOf(row), "");
    return {
      id,
      text,
      meta: Object.entries(metaAt(block, at)),
      scores: scores.map(({ score }) => score),
      rationales: scores.map(({ rationale }) => rationale),
      spans: scores.map(({ spans }) => spans),
    };
  }

  /** The values of a column, as they are shown. */
  #shown(name: string): Promise<string[]> {
    const known = this.#columns.get(name) ?? this.#readColumn(name);
    this.#columns.set(name, known);
    return known;
  }

  async #readColumn(name: string): Promise<string[]> {
    const values: string[] = [];
    for (let number = 0; number < this.blocks.plan.blocks; number++) {
      const { ids, meta } = await this.blocks.block(number);
      if (!Object.hasOwn(meta, name)) throw new SourceError("refused", `This page does not hold the column "${name}".`);
      values.push(...ids.map((_, at) => meta[name]?.[at] ?? ""));
    }
    return values;
  }

  async #foldAll(): Promise<string[]> {
    const folded: string[] = [];
    for (let number = 0; number < this.blocks.plan.blocks; number++) {
      for (const text of (await this.blocks.block(number)).texts ?? []) folded.push(fold(text));
    }
    return folded;
  }
}
