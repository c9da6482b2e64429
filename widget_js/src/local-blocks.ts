/** The compressed blocks of a standalone page, unpacked when they are needed. */

import type { ColumnInfo, Span } from "./protocol";

/** What the page says of its blocks. */
export interface LocalPlan {
  /** Documents in a block. */
  block: number;
  blocks: number;
  /** Whether the page has texts. */
  texts: boolean;
  columns: (ColumnInfo & { blob: string })[];
  map: string | null;
}

export interface Judgements {
  /** Place in `score_ids`. */
  concept: number;
  rows: number[];
  rationales: string[];
  spans: Span[][];
  unverified: number[];
}

/** Some documents, one item per document in every list. */
export interface Block {
  ids: string[];
  texts: string[] | null;
  bullets: string[][] | null;
  quotes: Span[][] | null;
  meta: Record<string, string[]>;
  judgements: Judgements[];
}

const MOST_KEPT = 8;

export class LocalBlocks {
  readonly #kept = new Map<number, Promise<Block>>();

  constructor(
    private readonly page: Document,
    readonly plan: LocalPlan,
  ) {}

  async bytes(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const text = this.page.getElementById(`lloom-blob-${name}`)?.textContent;
    if (text == null) throw new Error(`the block ${name} is missing`);
    const packed = Uint8Array.from(atob(text.trim()), (char) => char.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  block(number: number): Promise<Block> {
    let block = this.#kept.get(number);
    if (block === undefined) {
      block = this.bytes(`docs-${number}`).then((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as Block);
    }
    this.#kept.delete(number);
    this.#kept.set(number, block);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MOST_KEPT) break;
      this.#kept.delete(oldest);
    }
    return block;
  }

  /** The block of a row, and the row's place in it. */
  async at(row: number): Promise<{ block: Block; at: number }> {
    const { block: size } = this.plan;
    return { block: await this.block(Math.floor(row / size)), at: row % size };
  }
}
