import { describe, expect, it } from "vitest";
import { type List, placeAt, placeOf, windowOf } from "../src/row-window";

const list: List = { count: 2_000_000, height: 96, room: 700 };
const end = list.count * list.height - list.room;

describe("a window over many rows", () => {
  it("holds all rows of a list that an element can hold", () => {
    expect(windowOf(100_000, 96)).toBe(100_000);
    expect(placeAt(5_000_000, { ...list, count: 100_000 })).toEqual({ base: 0, top: 5_000_000 });
    expect(windowOf(list.count, 96) * 96).toBeLessThan(15_000_001);
  });

  it("shows the rows that are asked for, at whole pixels, within the window", () => {
    for (let offset = 0; offset <= end; offset += end / 997) {
      const { base, top } = placeAt(offset, list);
      expect(base * 96 + top).toBeCloseTo(offset, 3);
      expect(Number.isInteger(base)).toBe(true);
      expect(top).toBeGreaterThanOrEqual(0);
      expect(top).toBeLessThanOrEqual(windowOf(list.count, 96) * 96 - list.room + 1e-6);
    }
  });

  it("begins with the first row and ends with the last", () => {
    expect(placeAt(0, list)).toEqual({ base: 0, top: 0 });
    expect(placeAt(-300, list)).toEqual({ base: 0, top: -300 });
    expect(placeAt(end, list)).toEqual({ base: list.count - windowOf(list.count, 96), top: windowOf(list.count, 96) * 96 - 700 });
    expect(placeOf(0, list).base).toBe(0);
    expect(placeOf(windowOf(list.count, 96) * 96 - 700, list).base).toBe(list.count - windowOf(list.count, 96));
  });

  it("means the same place by a scroll bar as by the rows that it shows", () => {
    for (let top = 0; top <= windowOf(list.count, 96) * 96 - 700; top += 1_234_567) {
      const { base } = placeOf(top, list);
      expect(Math.abs(placeAt(base * 96 + top, list).base - base)).toBeLessThanOrEqual(1);
    }
  });
});
