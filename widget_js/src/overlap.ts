/** Which concepts share documents: matches as bit sets, their common documents and Jaccard index. */

import { NOT_SCORED } from "./protocol";
import { codeOf, type Scores } from "./scores";

/** Counts for each pair of the concepts `ids`, as square matrices in row-major order. */
export interface Overlap {
  ids: readonly string[];
  /** Documents that match the first (row) and have a score on the second; the diagonal: all its matches. */
  own: Uint32Array;
  /** Documents that match both. */
  both: Uint32Array;
  /** Documents that have a score on both and match at least one. */
  either: Uint32Array;
}

/** Two concepts that were chosen. */
export interface PairIds {
  first: string;
  second: string;
}

export interface Pair {
  first: number;
  second: number;
  both: number;
  jaccard: number;
}

/**
 * The overlap of all scored concepts at `threshold`. Documents without a score on either concept tell
 * nothing about a pair and are left out of it.
 */
export function overlapOf(scores: Scores, threshold: number): Overlap {
  const { ids, nDocs, codes } = scores;
  const words = (nDocs + 31) >>> 5;
  const matches: Uint32Array[] = [];
  const scored: (Uint32Array | null)[] = [];
  const lowest = codeOf(threshold);
  for (let concept = 0; concept < ids.length; concept++) {
    const column = codes.subarray(concept * nDocs, (concept + 1) * nDocs);
    const match = new Uint32Array(words);
    const known = new Uint32Array(words);
    let missing = false;
    for (let row = 0; row < nDocs; row++) {
      const code = column[row] as number;
      if (code === NOT_SCORED) {
        missing = true;
        continue;
      }
      const bit = 1 << (row & 31);
      known[row >>> 5] = (known[row >>> 5] as number) | bit;
      if (code >= lowest) match[row >>> 5] = (match[row >>> 5] as number) | bit;
    }
    matches.push(match);
    scored.push(missing ? known : null);
  }
  const n = ids.length;
  const own = new Uint32Array(n * n);
  const both = new Uint32Array(n * n);
  const either = new Uint32Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = i; j < n; j++) {
      const counts = countPair(matches[i] as Uint32Array, matches[j] as Uint32Array, scored[i] ?? null, scored[j] ?? null);
      both[i * n + j] = both[j * n + i] = counts.both;
      either[i * n + j] = either[j * n + i] = counts.either;
      own[i * n + j] = counts.first;
      own[j * n + i] = counts.second;
    }
  }
  return { ids, own, both, either };
}

function countPair(
  a: Uint32Array,
  b: Uint32Array,
  knownA: Uint32Array | null,
  knownB: Uint32Array | null,
): { first: number; second: number; both: number; either: number } {
  let [first, second, both] = [0, 0, 0];
  for (let word = 0; word < a.length; word++) {
    const left = (a[word] as number) & (knownB === null ? -1 : (knownB[word] as number));
    const right = (b[word] as number) & (knownA === null ? -1 : (knownA[word] as number));
    first += bits(left);
    second += bits(right);
    both += bits(left & right);
  }
  return { first, second, both, either: first + second - both };
}

/** The number of set bits of a 32-bit word (Hacker's Delight, figure 5-2). */
function bits(word: number): number {
  let v = word - ((word >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Common documents as a share of those that match either, 0 where none does. */
export function jaccard(overlap: Overlap, first: number, second: number): number {
  const at = first * overlap.ids.length + second;
  const either = overlap.either[at] as number;
  return either === 0 ? 0 : (overlap.both[at] as number) / either;
}

/** The pairs that share documents, most alike first; equal ones in the order of the concepts. */
export function alikePairs(overlap: Overlap, limit: number): Pair[] {
  const n = overlap.ids.length;
  const pairs: Pair[] = [];
  for (let first = 0; first < n; first++) {
    for (let second = first + 1; second < n; second++) {
      const both = overlap.both[first * n + second] as number;
      if (both > 0) pairs.push({ first, second, both, jaccard: jaccard(overlap, first, second) });
    }
  }
  pairs.sort((a, b) => b.jaccard - a.jaccard || b.both - a.both || a.first - b.first || a.second - b.second);
  return pairs.slice(0, limit);
}
