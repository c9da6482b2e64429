import { describe, expect, test } from "vitest";
import { alikePairs, jaccard, overlapOf } from "../src/overlap";
import { NOT_SCORED } from "../src/protocol";

const U = NOT_SCORED;

function scoresOf(columns: number[][]) {
  const nDocs = columns[0]?.length ?? 0;
  return { nDocs, ids: columns.map((_, k) => `c${k}`), codes: Uint8Array.from(columns.flat()) };
}

/** The same by counting, document by document. */
function counted(columns: number[][], i: number, j: number, lowest: number) {
  const rows = (columns[i] as number[]).map((code, row) => [code, (columns[j] as number[])[row] as number] as const);
  const known = rows.filter(([a, b]) => a !== U && b !== U);
  const both = known.filter(([a, b]) => a >= lowest && b >= lowest).length;
  const either = known.filter(([a, b]) => a >= lowest || b >= lowest).length;
  const own = known.filter(([a]) => a >= lowest).length;
  return { own, both, either };
}

describe("overlapOf", () => {
  test("agrees with counting documents one by one, at every threshold and with gaps", () => {
    let seed = 5;
    const next = (n: number): number => (seed = (seed * 48271) % 2147483647) % n;
    const codes = [0, 1, 2, 3, 4, U];
    // 71 documents: more than two words of bits, and a last word that is not full.
    const columns = Array.from({ length: 5 }, () => Array.from({ length: 71 }, () => codes[next(6)] as number));
    for (const [threshold, lowest] of [[1, 4], [0.75, 3], [0.25, 1]] as const) {
      const overlap = overlapOf(scoresOf(columns), threshold);
      for (let i = 0; i < 5; i++) {
        for (let j = 0; j < 5; j++) {
          const { own, both, either } = counted(columns, i, j, lowest);
          expect(overlap.own[i * 5 + j]).toBe(own);
          expect(overlap.both[i * 5 + j]).toBe(both);
          expect(overlap.either[i * 5 + j]).toBe(either);
        }
      }
    }
  });

  test("a document that was not scored on one of two concepts counts for neither side", () => {
    const overlap = overlapOf(scoresOf([[4, 4, 4], [4, U, 0]]), 1);
    expect(overlap.both[1]).toBe(1);
    expect(overlap.either[1]).toBe(2);
    expect(jaccard(overlap, 0, 1)).toBe(0.5);
  });

  test("concepts without matches have a Jaccard index of 0, not of nothing", () => {
    expect(jaccard(overlapOf(scoresOf([[0, 0], [0, 0]]), 1), 0, 1)).toBe(0);
  });
});

test("alikePairs puts the most alike first and leaves out pairs without a common document", () => {
  const overlap = overlapOf(scoresOf([[4, 4, 0, 0], [4, 4, 4, 0], [0, 4, 4, 4], [0, 0, 0, 4]]), 1);
  const pairs = alikePairs(overlap, 10).map(({ first, second }) => [first, second]);
  expect(pairs).toEqual([[0, 1], [1, 2], [2, 3], [0, 2]]);
  expect(alikePairs(overlap, 2)).toHaveLength(2);
});
