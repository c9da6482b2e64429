/** The part of a text that stands in a list, as Python cuts it. */

import type { Span } from "./protocol";

const LONGEST = 600;
const WORD_REACH = 30;

export interface Excerpt {
  start: number;
  end: number;
  cut: boolean;
}

/** All of a short text; of a long one the part around the first span, a third of the room before it. */
export function excerptOf(text: string, around: readonly Span[]): Excerpt {
  if (text.length <= LONGEST) return { start: 0, end: text.length, cut: false };
  const [from, to] = around[0] ?? [0, 0];
  const lead = Math.max(0, Math.floor((LONGEST - (to - from)) / 3));
  const start = wordStart(text, Math.max(0, Math.min(from - lead, text.length - LONGEST)));
  const end = Math.min(text.length, start + LONGEST);
  return { start, end: end === text.length ? end : wordStart(text, end), cut: true };
}

/** Spans within an excerpt, counted from its start. */
export function spansWithin(spans: readonly Span[], { start, end }: Excerpt): Span[] {
  return spans
    .map(([from, to]): Span => [Math.max(from, start) - start, Math.min(to, end) - start])
    .filter(([from, to]) => from < to);
}

/** The start of the word at an offset; the offset itself in a long word, but never within a character. */
function wordStart(text: string, near: number): number {
  const space = text.slice(Math.max(0, near - WORD_REACH), near).lastIndexOf(" ");
  if (space >= 0) return Math.max(0, near - WORD_REACH) + space + 1;
  const unit = text.charCodeAt(near);
  return unit >= 0xdc00 && unit <= 0xdfff ? near - 1 : near;
}
