/** Scores as codes in one typed array, and the tally from which every count of the view is read. */

import { NO_SLICE, NOT_SCORED } from "./protocol";

/** Scores of all documents on the scored concepts, concept-major. */
export interface Scores {
  nDocs: number;
  ids: readonly string[];
  codes: Uint8Array;
}

/** Places of a tally's innermost axis: one per score code, then documents without a score. */
export const BINS = 6;
const NO_SCORE_BIN = 5;

/**
 * How many documents have each score, per concept and slice. A threshold then costs a few additions,
 * whatever the number of documents.
 */
export interface Tally {
  nSlices: number;
  /** Shape (concepts, slices + 1, BINS); the last slice holds documents that lie in none. */
  counts: Uint32Array;
  /** As `counts` for the best score of each document on any concept: outliers lie below the threshold. */
  best: Uint32Array;
}

export interface Count {
  matches: number;
  scored: number;
}

/** The codes of one concept, or null when it has no scores. */
export function codesOf(scores: Scores, id: string): Uint8Array | null {
  const index = scores.ids.indexOf(id);
  return index < 0 ? null : scores.codes.subarray(index * scores.nDocs, (index + 1) * scores.nDocs);
}

/** The lowest code that matches at `threshold`. */
export function codeOf(threshold: number): number {
  return Math.ceil(threshold * 4 - 1e-9);
}

/** The best code of each document on any concept, `NOT_SCORED` for documents without any score. */
export function bestCodes(scores: Scores): Uint8Array {
  const { nDocs, codes } = scores;
  const best = new Uint8Array(nDocs).fill(NOT_SCORED);
  for (let start = 0; start < codes.length; start += nDocs) {
    for (let row = 0; row < nDocs; row++) {
      const code = codes[start + row] as number;
      const so_far = best[row] as number;
      if (code !== NOT_SCORED && (so_far === NOT_SCORED || code > so_far)) best[row] = code;
    }
  }
  return best;
}

export function tallyOf(scores: Scores, best: Uint8Array, sliceCodes: Uint16Array | null, nSlices: number): Tally {
  const { nDocs, codes } = scores;
  const stride = (nSlices + 1) * BINS;
  const counts = new Uint32Array(scores.ids.length * stride);
  const bySlice = sliceCodes !== null && nSlices > 0 ? sliceCodes : null;
  const place = new Uint32Array(nDocs);
  for (let row = 0; row < nDocs; row++) {
    const slice = bySlice === null ? NO_SLICE : (bySlice[row] as number);
    place[row] = (slice < nSlices ? slice : nSlices) * BINS;
  }
  const add = (into: Uint32Array, base: number, column: Uint8Array, from: number): void => {
    for (let row = 0; row < nDocs; row++) {
      const code = column[from + row] as number;
      const at = base + (place[row] as number) + (code > 4 ? NO_SCORE_BIN : code);
      into[at] = (into[at] as number) + 1;
    }
  };
  for (let concept = 0; concept < scores.ids.length; concept++) add(counts, concept * stride, codes, concept * nDocs);
  const bestCounts = new Uint32Array(stride);
  add(bestCounts, 0, best, 0);
  return { nSlices, counts, best: bestCounts };
}

/** Documents per score of a concept (place in `score_ids`, or -1 for the outliers), in a slice or overall. */
export function histogram(tally: Tally, concept: number, slice: number | null): Uint32Array {
  const stride = (tally.nSlices + 1) * BINS;
  const table = concept < 0 ? tally.best : tally.counts;
  const base = concept < 0 ? 0 : concept * stride;
  if (slice !== null) return table.slice(base + slice * BINS, base + (slice + 1) * BINS);
  const sums = new Uint32Array(BINS);
  for (let at = 0; at < stride; at++) sums[at % BINS] = (sums[at % BINS] as number) + (table[base + at] as number);
  return sums;
}

/** Matches and scored documents of a concept (-1 = outliers), in a slice or overall. */
export function countOf(tally: Tally, concept: number, slice: number | null, threshold: number): Count {
  const bins = histogram(tally, concept, slice);
  const from = codeOf(threshold);
  let matches = 0;
  let scored = 0;
  for (let code = 0; code < NO_SCORE_BIN; code++) {
    const n = bins[code] as number;
    scored += n;
    if (concept < 0 ? code < from : code >= from) matches += n;
  }
  return { matches, scored };
}

/** Documents in a slice, or in all; scored or not. */
export function sizeOf(tally: Tally, slice: number | null): number {
  return histogram(tally, -1, slice).reduce((sum, n) => sum + n, 0);
}
