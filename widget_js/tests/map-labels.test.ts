import { describe, expect, test } from "vitest";
import type { Grouping } from "../src/grouping";
import { placeLabels, spotsOf } from "../src/map-labels";
import { fit } from "../src/viewport";

const group = (name: string, hue: number, n: number) => ({ name, ink: { hue }, n, patch: null, pressed: false });

/** 300 documents: two dense groups far from each other, and one that is everywhere. */
function spread() {
  const places = new Float32Array(600);
  const of = new Uint8Array(300);
  for (let row = 0; row < 300; row++) {
    const kind = row % 3;
    of[row] = kind;
    const [a, b] = [Math.sin(row * 12.9898), Math.cos(row * 78.233)];
    places[2 * row] = kind === 2 ? a * 10 : (kind === 0 ? -8 : 8) + a;
    places[2 * row + 1] = kind === 2 ? b * 10 : b;
  }
  const grouping: Grouping = { title: "", direct: true, groups: [group("West", 0, 100), group("East", 1, 100), group("All over", 2, 100)], of };
  return { places, grouping, home: fit(places, 400, 400) };
}

describe("spotsOf", () => {
  test("finds where a group is dense, and names no group that lies everywhere", () => {
    const { places, grouping, home } = spread();
    const spots = spotsOf(grouping, places, home);
    expect(spots.map((spot) => grouping.groups[spot.group]?.name)).toEqual(["West", "East"]);
    expect(spots[0]?.at[0]).toBeCloseTo(-8, 0);
    expect(spots[1]?.at[0]).toBeCloseTo(8, 0);
  });

  test("names nothing where names tell nothing on the map", () => {
    const { places, grouping, home } = spread();
    expect(spotsOf({ ...grouping, direct: false }, places, home)).toEqual([]);
  });
});

describe("placeLabels", () => {
  const { grouping, home } = spread();

  test("writes no name over another, and none out of sight", () => {
    const spots = [{ group: 0, at: [0, 0] as [number, number] }, { group: 1, at: [0.1, 0] as [number, number] }, { group: 2, at: [900, 0] as [number, number] }];
    expect(placeLabels(spots, grouping, home).map(({ group: at }) => at)).toEqual([0]);
  });

  test("shortens long names and keeps them inside", () => {
    const long = { ...grouping, groups: [group("A very long name that nobody could read on a map", 0, 1)] };
    const [label] = placeLabels([{ group: 0, at: [home.x + 9, 0] }], long, home);
    expect(label?.text.endsWith("…")).toBe(true);
    expect(label?.text.length).toBeLessThan(28);
    expect((label?.left ?? 0) + ((label?.text.length ?? 0) * 6.4) / 2).toBeLessThanOrEqual(home.width);
  });
});
