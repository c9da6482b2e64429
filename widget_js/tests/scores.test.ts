import { describe, expect, it } from "vitest";
import { NO_SLICE, NOT_SCORED } from "../src/protocol";
import { bestCodes, codeOf, codesOf, countOf, histogram, sizeOf, tallyOf } from "../src/scores";
import { wilson } from "../src/wilson";

const X = NOT_SCORED;
const scores = { nDocs: 5, ids: ["a", "b"], codes: Uint8Array.of(4, 3, 0, X, 1, /* b */ 0, 4, 0, X, X) };
const slices = Uint16Array.of(0, 0, 1, 1, NO_SLICE);
const best = bestCodes(scores);
const tally = tallyOf(scores, best, slices, 2);

describe("counts", () => {
  it("are those of a plain count, at every threshold, in every slice", () => {
    for (const [place, id] of [[0, "a"], [1, "b"]] as const) {
      const codes = [...(codesOf(scores, id) as Uint8Array)];
      for (const threshold of [0.25, 0.5, 0.75, 1]) {
        for (const slice of [null, 0, 1]) {
          const within = codes.filter((_, row) => slice === null || slices[row] === slice);
          expect(countOf(tally, place, slice, threshold)).toEqual({
            matches: within.filter((code) => code !== X && code / 4 >= threshold).length,
            scored: within.filter((code) => code !== X).length,
          });
        }
      }
    }
  });

  it("take outliers by the best score and leave out documents without any", () => {
    expect([...best]).toEqual([4, 4, 0, X, 1]);
    expect(countOf(tally, -1, null, 1)).toEqual({ matches: 2, scored: 4 });
    expect(countOf(tally, -1, null, 0.25)).toEqual({ matches: 1, scored: 4 });
    expect(countOf(tally, -1, 1, 1)).toEqual({ matches: 1, scored: 1 });
  });

  it("put each document in one bin", () => {
    expect([...histogram(tally, 0, null)]).toEqual([1, 1, 0, 1, 1, 1]);
    expect(sizeOf(tally, null)).toBe(5);
    expect(sizeOf(tally, 1)).toBe(2);
  });

  it("hold without slices and without concepts", () => {
    const none = { nDocs: 3, ids: [], codes: new Uint8Array(0) };
    expect(countOf(tallyOf(none, bestCodes(none), null, 0), -1, null, 1)).toEqual({ matches: 0, scored: 0 });
  });

  it("match from the score that a threshold names", () => {
    expect([0.01, 0.25, 0.3, 0.5, 0.75, 1].map(codeOf)).toEqual([1, 1, 2, 2, 3, 4]);
  });
});

describe("the Wilson interval", () => {
  it("has the values of the literature", () => {
    // Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    const rounded = (part: number, whole: number): number[] => {
      const { low, high } = wilson(part, whole);
      return [low, high].map((end) => Math.round(end * 1e4) / 1e4);
    };
    expect(rounded(81, 263)).toEqual([0.2553, 0.3662]);
    expect(rounded(15, 148)).toEqual([0.0624, 0.1605]);
    expect(rounded(0, 20)).toEqual([0, 0.1611]);
    expect(rounded(1, 29)).toEqual([0.0061, 0.1718]);
    expect(wilson(0, 0)).toEqual({ low: 0, high: 1 });
    expect(wilson(7, 7).high).toBe(1);
  });
});
