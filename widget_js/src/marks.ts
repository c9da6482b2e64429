/** A text in pieces, so that its highlights and hits can be marked without any markup in between. */

import type { Span } from "./protocol";

export interface Piece {
  text: string;
  /** Part of a highlight. */
  marked: boolean;
  /** Part of what is searched. */
  hit: boolean;
}

/** The pieces of `text`; offsets are UTF-16 units, those outside of the text are cut. */
export function piecesOf(text: string, spans: readonly Span[], hits: readonly Span[] = []): Piece[] {
  const cuts = new Set([0, text.length]);
  for (const [start, end] of [...spans, ...hits]) {
    if (start < end) for (const at of [start, end]) if (at > 0 && at < text.length) cuts.add(at);
  }
  const places = [...cuts].sort((a, b) => a - b);
  const pieces: Piece[] = [];
  for (let i = 0; i + 1 < places.length; i++) {
    const start = places[i] as number;
    const end = places[i + 1] as number;
    const within = ([from, to]: Span): boolean => from <= start && end <= to;
    pieces.push({ text: text.slice(start, end), marked: spans.some(within), hit: hits.some(within) });
  }
  return pieces;
}

export interface Snippet {
  text: string;
  spans: Span[];
  hits: Span[];
}

/** The text from a little before its first mark on, so that the mark stands in the first line of a list. */
export function snippetOf(text: string, spans: readonly Span[], hits: readonly Span[] = [], lead = 60): Snippet {
  const first = Math.min(spans[0]?.[0] ?? Infinity, hits[0]?.[0] ?? Infinity);
  if (!Number.isFinite(first) || first <= lead) return { text, spans: [...spans], hits: [...hits] };
  const space = text.indexOf(" ", first - lead);
  const start = space >= 0 && space < first ? space + 1 : first;
  const shift = (list: readonly Span[]): Span[] =>
    list.filter(([, end]) => end > start).map(([from, to]) => [Math.max(from, start) - start + 1, to - start + 1]);
  return { text: `…${text.slice(start)}`, spans: shift(spans), hits: shift(hits) };
}
