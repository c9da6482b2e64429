/** Documents of a block as a kernel would send them. */

import { excerptOf, spansWithin } from "./excerpt";
import { findHits } from "./folding";
import type { Block } from "./local-blocks";
import { type DocumentScore, type FullDocument, type Meta, NOT_SCORED, type PageRow, type Span } from "./protocol";

interface Judged {
  rationale: string;
  spans: Span[];
  verified: boolean;
}

/** One document of a page; `concept` is a place in `score_ids`, -1 for none. */
export function pageOf(block: Block, at: number, row: number, concept: number, query: string): PageRow {
  const text = block.texts?.[at] ?? "";
  const { rationale, spans, verified } = judgedOf(block, at, concept);
  const hits = findHits(query, text);
  const part = excerptOf(text, spans.length > 0 ? spans : hits);
  return {
    row,
    id: block.ids[at] ?? "",
    text: text.slice(part.start, part.end),
    cut: part.cut,
    spans: spansWithin(spans, part),
    hits: spansWithin(hits, part),
    verified,
    rationale,
    bullets: block.bullets?.[at] ?? [],
    meta: metaAt(block, at),
  };
}

/** The whole document; `codes` gives its code on each concept of `score_ids`. */
export function fullOf(block: Block, at: number, row: number, ids: readonly string[], codes: readonly number[], query: string): FullDocument {
  const text = block.texts?.[at] ?? "";
  const scores = ids.map((concept_id, concept): DocumentScore => {
    const code = codes[concept] ?? NOT_SCORED;
    return { concept_id, score: code === NOT_SCORED ? null : code / 4, ...judgedOf(block, at, concept) };
  });
  return {
    row,
    id: block.ids[at] ?? "",
    text,
    meta: metaAt(block, at),
    bullets: block.bullets?.[at] ?? [],
    quotes: block.quotes?.[at] ?? [],
    hits: findHits(query, text),
    scores,
  };
}

export function metaAt(block: Block, at: number): Meta {
  return Object.fromEntries(Object.entries(block.meta).map(([name, values]) => [name, values[at] ?? ""]));
}

function judgedOf(block: Block, at: number, concept: number): Judged {
  const judgements = block.judgements.find((item) => item.concept === concept);
  const place = judgements?.rows.indexOf(at) ?? -1;
  if (judgements === undefined || place < 0) return { rationale: "", spans: [], verified: true };
  return {
    rationale: judgements.rationales[place] ?? "",
    spans: judgements.spans[place] ?? [],
    verified: !judgements.unverified.includes(at),
  };
}
