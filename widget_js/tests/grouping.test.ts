import { describe, expect, test } from "vitest";
import type { Column } from "../src/columns";
import { byColumn, byScore, bySlice, byStrongest, HUES } from "../src/grouping";
import { type Concept, NO_LABEL, NO_SLICE, NOT_SCORED } from "../src/protocol";
import { DEFAULT_STATE } from "../src/state";

const concept = (id: string, name: string): Concept => ({
  id, name, criteria: `Is it about ${name}?`, summary: "", seed: null, active: true, support: 1, examples: [], scored: true, stale: false, merged_from: [],
});
const named = (grouping: { groups: { name: string; n: number }[]; of: Uint8Array }) => [...grouping.of].map((group) => grouping.groups[group]?.name);

describe("byStrongest", () => {
  test("takes the highest score, the rarer concept where scores are equal, and none where nothing matches", () => {
    const scores = { nDocs: 4, ids: ["a", "b"], codes: Uint8Array.from([4, 4, 4, 0, /* b */ 0, 3, 4, NOT_SCORED]) };
    const grouping = byStrongest(scores, [concept("a", "Rent"), concept("b", "Buses")], [3, 1], { ...DEFAULT_STATE, threshold: 0.75 });
    expect(named(grouping)).toEqual(["Rent", "Rent", "Buses", "No match"]);
    expect(grouping.groups.map(({ n }) => n)).toEqual([2, 1, 1]);
  });

  test("gives hues to the most frequent concepts and one grey to all others", () => {
    const ids = Array.from({ length: 30 }, (_, k) => `c${k}`);
    const codes = new Uint8Array(30 * 30);
    for (let k = 0; k < 30; k++) codes[k * 30 + k] = 4;
    const matches = ids.map((_, k) => 100 - k);
    const grouping = byStrongest({ nDocs: 30, ids, codes }, ids.map((id) => concept(id, id)), matches, DEFAULT_STATE);
    expect(grouping.groups).toHaveLength(HUES + 2);
    expect(grouping.groups[HUES]).toMatchObject({ name: "23 other concepts", n: 23 });
  });
});

test("byScore tells matches, near misses, others and unscored apart", () => {
  const grouping = byScore(Uint8Array.from([4, 3, 0, NOT_SCORED]), concept("a", "Rent"), 1);
  expect(named(grouping)).toEqual(["Match", "Below the threshold", "No match", "Not scored"]);
});

describe("bySlice", () => {
  const slices = { column: "office", kind: "category", labels: ["Senate", "House"] };

  test("a click on a slice filters by it, a second click ends that", () => {
    const codes = Uint16Array.from([0, 1, NO_SLICE]);
    const grouping = bySlice(codes, slices, DEFAULT_STATE);
    expect(named(grouping)).toEqual(["Senate", "House", "In no slice"]);
    expect(grouping.groups[1]?.patch).toEqual({ slices: [1] });
    expect(bySlice(codes, slices, { ...DEFAULT_STATE, slices: [1] }).groups[1]).toMatchObject({ pressed: true, patch: { slices: [] } });
  });

  test("many slices: the largest have hues, the rest one grey", () => {
    const labels = Array.from({ length: 20 }, (_, i) => `s${i}`);
    const codes = Uint16Array.from({ length: 210 }, (_, i) => Math.floor((Math.sqrt(8 * i + 1) - 1) / 2));
    const grouping = bySlice(codes, { ...slices, labels }, DEFAULT_STATE);
    expect(grouping.groups.at(-1)).toMatchObject({ name: "13 others" });
    expect(grouping.groups.reduce((sum, { n }) => sum + n, 0)).toBe(210);
  });
});

describe("byColumn", () => {
  test("categories filter by their label", () => {
    const column: Column = { kind: "category", labels: ["A", "B"], values: Uint16Array.from([0, 1, NO_LABEL]) };
    const grouping = byColumn({ name: "party", kind: "category" }, column, DEFAULT_STATE);
    expect(grouping?.groups.map(({ name }) => name)).toEqual(["A", "B", "Missing"]);
    expect(grouping?.groups[0]?.patch).toEqual({ columns: { party: { values: ["A"] } } });
  });

  test("numbers are grouped so that each group has about as many, and nothing is lost", () => {
    const values = Float64Array.from({ length: 100 }, (_, i) => (i % 10 === 0 ? Number.NaN : i * i));
    const grouping = byColumn({ name: "likes", kind: "number" }, { kind: "number", labels: [], values }, DEFAULT_STATE);
    const sizes = grouping?.groups.map(({ n }) => n) ?? [];
    expect(sizes.at(-1)).toBe(10);
    expect(sizes.slice(0, -1).every((n) => n >= 17 && n <= 19)).toBe(true);
  });

  test("equal numbers make one group", () => {
    const grouping = byColumn({ name: "likes", kind: "number" }, { kind: "number", labels: [], values: Float64Array.from([3, 3, 3]) }, DEFAULT_STATE);
    expect(grouping?.groups).toHaveLength(1);
    expect(grouping?.groups[0]?.n).toBe(3);
  });

  test("texts are not coloured", () => {
    expect(byColumn({ name: "note", kind: "text" }, { kind: "text", labels: [], values: new Uint32Array(3) }, DEFAULT_STATE)).toBeNull();
  });
});
