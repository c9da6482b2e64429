/** Folded text, as Python folds it: what is compared when a text is searched, and where its hits stand. */

import type { Span } from "./protocol";

const MOST_HITS = 200;
/** A character with the marks that follow it, and with joining vowels of Hangul. */
const PIECES = /[^][\p{M}\u1160-\u11ff]*/gu;

/** What Python takes for white space. */
const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;

/** Text without differences of letter case, form and white space. */
export function fold(text: string): string {
  return foldCase(text).replace(SPACE, " ").replace(/^ | $/g, "");
}

/** Upper case first: that is where ß becomes SS. */
function foldCase(text: string): string {
  return text.normalize("NFKC").toUpperCase().toLowerCase().replaceAll("ς", "σ");
}

/** Where a query occurs in a text, not overlapping, at most 200, in UTF-16 units. */
export function findHits(query: string, text: string): Span[] {
  const needle = fold(query);
  if (needle === "") return [];
  let folded = "";
  const starts: number[] = [];
  const ends: number[] = [];
  for (const match of text.matchAll(PIECES)) {
    const end = match.index + match[0].length;
    for (const char of foldCase(match[0]).replace(SPACE, " ").split("")) {
      if (char === " " && folded.endsWith(" ")) {
        ends[ends.length - 1] = end;
        continue;
      }
      folded += char;
      starts.push(match.index);
      ends.push(end);
    }
  }
  const hits: Span[] = [];
  for (let at = folded.indexOf(needle); at >= 0 && hits.length < MOST_HITS; at = folded.indexOf(needle, at + needle.length)) {
    const span: Span = [starts[at] as number, ends[at + needle.length - 1] as number];
    if (hits.length === 0 || span[0] >= (hits[hits.length - 1] as Span)[1]) hits.push(span);
  }
  return hits;
}
