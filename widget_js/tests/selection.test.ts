import { describe, expect, it } from "vitest";
import { MISSING, needsColumn, passing, ranksOf, readColumn, textPart } from "../src/columns";
import { NO_LABEL, NO_SLICE, NOT_SCORED } from "../src/protocol";
import { type Evidence, isWithin, selectRows, sortRows } from "../src/selection";
import { DEFAULT_STATE, readState } from "../src/state";

const X = NOT_SCORED;
const evidence = (over: Partial<Evidence> = {}): Evidence => ({
  nDocs: 6,
  codes: Uint8Array.of(4, 3, 0, X, 4, 2),
  isConcept: true,
  best: Uint8Array.of(4, 3, 0, X, 4, 4),
  also: [],
  sliceCodes: Uint16Array.of(0, 1, 0, 1, NO_SLICE, 0),
  columns: new Map(),
  texts: new Map(),
  places: null,
  found: null,
  ...over,
});
const select = (state: object, over: Partial<Evidence> = {}): number[] => [
  ...selectRows(readState({ concept: "c", ...state }), evidence(over)),
];

describe("which documents a state selects", () => {
  it("takes matches from the threshold on, never those without a score", () => {
    expect(select({})).toEqual([0, 4]);
    expect(select({ threshold: 0.75 })).toEqual([0, 1, 4]);
    expect(select({ threshold: 0.6 })).toEqual([0, 1, 4]);
    expect(select({ show: "non-matches" })).toEqual([1, 2, 5]);
    expect(select({ show: "all" })).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it("takes all documents without a concept, and outliers by their best score", () => {
    expect(select({ concept: null }, { codes: null, isConcept: false })).toHaveLength(6);
    expect(select({ concept: "outliers" }, { codes: null, isConcept: false })).toEqual([1, 2]);
    expect(select({ concept: "outliers", threshold: 0.75 }, { codes: null, isConcept: false })).toEqual([2]);
  });

  it("finds nothing on a concept that has no scores", () => {
    expect(select({}, { codes: null })).toEqual([]);
    expect(select({ show: "non-matches" }, { codes: null })).toEqual([]);
  });

  it("joins filters by and", () => {
    expect(select({ show: "all", slice: 0 })).toEqual([0, 2, 5]);
    expect(select({ show: "all", slices: [1, null] })).toEqual([1, 3, 4]);
    expect(select({ show: "all", scores: [1, null] })).toEqual([0, 3, 4]);
    expect(select({ show: "all", slice: 0, scores: [0.5, 0] })).toEqual([2, 5]);
    expect(select({ show: "all", query: "x" }, { found: Uint32Array.of(1, 2) })).toEqual([1, 2]);
    expect(select({ show: "all", also: ["d"] }, { also: [Uint8Array.of(4, X, 4, 0, 3, 4)] })).toEqual([0, 2, 5]);
  });

  it("looks within a lasso, and nowhere without a map", () => {
    const lasso = [[0, 0], [2, 0], [2, 2], [0, 2]];
    const places = Float32Array.of(1, 1, 3, 1, NaN, NaN, 0.5, 0.5, 1, -1, 1.9, 1.9);
    expect(select({ show: "all", lasso }, { places })).toEqual([0, 3, 5]);
    expect(select({ show: "all", lasso })).toEqual([]);
    expect(isWithin([[0, 0], [4, 0], [4, 4], [2, 1], [0, 4]], 2, 2)).toBe(false);
  });

  it("filters columns by labels, ranges and missing values", () => {
    const party = { kind: "category" as const, labels: ["A", "B"], values: Uint16Array.of(0, 1, NO_LABEL, 1, 0, 1) };
    const likes = { kind: "number" as const, labels: [], values: Float64Array.of(1, 5, NaN, 7, 9, 5) };
    const columns = new Map<string, typeof party | typeof likes>([["party", party], ["likes", likes]]);
    const by = (filter: object): number[] => select({ show: "all", columns: filter }, { columns });
    expect(by({ party: { values: ["B", null] } })).toEqual([1, 2, 3, 5]);
    expect(by({ likes: { min: 5 } })).toEqual([1, 3, 4, 5]);
    expect(by({ likes: { min: 5, max: 7 }, party: { values: ["B"] } })).toEqual([1, 3, 5]);
    expect(by({ likes: { values: ["5", null] } })).toEqual([1, 2, 5]);
    expect(by({ party: { min: 0 } })).toEqual([]);
    expect(by({ gone: { min: 0 } })).toHaveLength(6);
    expect(passing(likes, {})).toBeNull();
  });

  it("takes from the source which texts a filter finds", () => {
    const texts = new Map([["remark", Uint32Array.of(1, 4, 5)]]);
    const by = (filter: object): number[] => select({ show: "all", columns: filter }, { texts });
    expect(by({ remark: { contains: "seen" } })).toEqual([1, 4, 5]);
    expect(by({ other: { contains: "seen" } })).toHaveLength(6);
    expect(textPart({ contains: " \n" }, "text")).toBeNull();
    expect(textPart({ contains: "a", values: ["b"], min: 1 }, "text")).toEqual({ contains: "a", values: ["b"] });
    expect(textPart({ contains: "a", values: ["b"] }, "category")).toEqual({ contains: "a" });
    expect(needsColumn({ contains: "a", values: ["b"] }, "text")).toBe(false);
    expect(needsColumn({ contains: "a", values: ["b"] }, "category")).toBe(true);
    expect(needsColumn({ min: 1 }, "text")).toBe(true);
  });
});

describe("in which order", () => {
  const rows = Uint32Array.of(0, 1, 2, 3, 4);
  const ranks = Int32Array.of(2, MISSING, 0, 2, 1);
  it("puts missing values last in either direction and keeps ties in row order", () => {
    expect([...sortRows(rows, ranks, false)]).toEqual([2, 4, 0, 3, 1]);
    expect([...sortRows(rows, ranks, true)]).toEqual([0, 3, 4, 2, 1]);
    expect([...sortRows(rows, null, true)]).toEqual([0, 1, 2, 3, 4]);
    expect([...sortRows(new Uint32Array(0), ranks, true)]).toEqual([]);
  });

  it("ranks numbers with negative ones, ties and gaps", () => {
    const buffers = [new Uint8Array(Float64Array.of(3, -1.5, NaN, 3, -0, 1e9).buffer)];
    expect([...ranksOf(readColumn({ kind: "number", buffers }))]).toEqual([2, 0, MISSING, 2, 1, 3]);
  });

  it("agrees with a plain sort on many random numbers", () => {
    let seed = 5;
    const random = (): number => (seed = (seed * 48271) % 2147483647) / 2147483647;
    const values = Float64Array.from({ length: 3000 }, () => (random() < 0.1 ? NaN : Math.round(random() * 50)));
    const all = Uint32Array.from(values, (_, row) => row);
    const found = [...sortRows(all, ranksOf({ kind: "number", labels: [], values }), true)];
    const plain = [...all].sort((a, b) => {
      const [x, y] = [values[a] as number, values[b] as number];
      return Number(Number.isNaN(x)) - Number(Number.isNaN(y)) || (Number.isNaN(x) ? 0 : y - x) || a - b;
    });
    expect(found).toEqual(plain);
  });
});

describe("reading a state", () => {
  it("fills what is absent and leaves out what is wrong", () => {
    expect(readState(null)).toEqual(DEFAULT_STATE);
    const state = readState({ tab: "x", slices: [1, "2", null, -3], columns: { a: 5, b: { values: ["x", 7], contains: 8 }, c: { contains: "y" }, d: { contains: "" } }, threshold: 7 });
    expect(state.tab).toBe("overview");
    expect(state.slices).toEqual([1, null]);
    expect(state.columns).toEqual({ b: { values: ["x"] }, c: { contains: "y" } });
    expect(state.threshold).toBe(1);
  });
});
