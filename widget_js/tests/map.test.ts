import { describe, expect, test } from "vitest";
import { simplify } from "../src/lasso";
import { indexOf, nearest } from "../src/nearest";
import { draw, radiusOf, type Rgb, rgbOf } from "../src/scatter";
import { corners, fit, pan, toPlace, toScreen, zoom } from "../src/viewport";

const GONE = Number.NaN;

describe("viewport", () => {
  const places = Float32Array.from([-2, -1, 4, 3, GONE, GONE, 1, 1]);

  test("fit shows every document, upright", () => {
    const view = fit(places, 300, 200);
    const [left, top] = toScreen(view, 4, 3);
    const [left2, top2] = toScreen(view, -2, -1);
    for (const [x, y] of [[left, top], [left2, top2]]) {
      expect(x).toBeGreaterThan(0);
      expect(x).toBeLessThan(300);
      expect(y).toBeGreaterThan(0);
      expect(y).toBeLessThan(200);
    }
    expect(top).toBeLessThan(top2);
  });

  test("fit copes with no place, one place and equal places", () => {
    for (const some of [[], [GONE, GONE], [5, 5], [5, 5, 5, 5]]) {
      const view = fit(Float32Array.from(some), 300, 200);
      expect(Number.isFinite(view.scale) && view.scale > 0).toBe(true);
    }
  });

  test("zoom keeps the place under the pointer, within bounds", () => {
    const home = fit(places, 300, 200);
    const before = toPlace(home, 40, 150);
    const after = toPlace(zoom(home, 3, 40, 150, home), 40, 150);
    expect(after[0]).toBeCloseTo(before[0], 6);
    expect(after[1]).toBeCloseTo(before[1], 6);
    expect(zoom(home, 1e9, 0, 0, home).scale).toBe(home.scale * 200);
    expect(zoom(home, 1e-9, 0, 0, home).scale).toBe(home.scale * 0.5);
  });

  test("pan moves what is under the pointer along with it", () => {
    const home = fit(places, 300, 200);
    const [left, top] = toScreen(home, 1, 1);
    const [left2, top2] = toScreen(pan(home, 30, -20), 1, 1);
    expect([left2 - left, top2 - top].map(Math.round)).toEqual([30, -20]);
  });

  test("corners are what is in sight", () => {
    const view = fit(places, 300, 200);
    expect(corners(view)[0]).toEqual(toPlace(view, 0, 0));
    expect(corners(view)).toHaveLength(4);
  });
});

describe("simplify", () => {
  test("keeps the shape of a long drawn circle with far fewer corners", () => {
    const circle = Array.from({ length: 500 }, (_, i): [number, number] => [Math.cos(i / 80) * 100, Math.sin(i / 80) * 100]);
    const fewer = simplify(circle, 1);
    expect(fewer.length).toBeLessThan(40);
    expect(fewer.every(([x, y]) => Math.abs(Math.hypot(x, y) - 100) < 1e-9)).toBe(true);
  });

  test("keeps corners that matter", () => {
    const square: [number, number][] = [[0, 0], [5, 0], [10, 0], [10, 10], [0, 10]];
    expect(simplify(square, 0.5)).toEqual([[0, 0], [10, 0], [10, 10], [0, 10]]);
  });
});

describe("draw", () => {
  const view = { x: 0, y: 0, scale: 1, width: 20, height: 20 };
  const paper: Rgb = [255, 255, 255];
  const faint: Rgb = [200, 200, 200];
  const colors: Rgb[] = [[10, 20, 30], [200, 0, 0]];
  const shoot = (places: number[], groups: number[], selected: number[] | null) => {
    const pixels = new Uint8ClampedArray(20 * 20 * 4);
    draw(pixels, view, 1, 3, {
      places: Float32Array.from(places),
      groups: Uint8Array.from(groups),
      colors,
      selected: selected === null ? null : Uint8Array.from(selected),
      faint,
      paper,
    });
    return (left: number, top: number) => [...pixels.slice((top * 20 + left) * 4, (top * 20 + left) * 4 + 4)];
  };

  test("puts a dot of its group's colour where the document is, and paper elsewhere", () => {
    const at = shoot([5, 5], [1], null);
    expect(at(15, 5)).toEqual([200, 0, 0, 255]);
    expect(at(2, 17)).toEqual([255, 255, 255, 255]);
  });

  test("draws selected documents over the others", () => {
    const at = shoot([0, 0, 0, 0], [0, 1], [1, 0]);
    expect(at(10, 10)).toEqual([10, 20, 30, 255]);
  });

  test("draws nothing for documents without a place and for those out of sight", () => {
    const at = shoot([GONE, GONE, 500, 500, -500, 3], [0, 0, 0], null);
    for (let i = 0; i < 20; i++) expect(at(i, i)).toEqual([255, 255, 255, 255]);
  });

  test("clips dots at the border", () => {
    const at = shoot([-10, 10], [0], null);
    expect(at(0, 0)).toEqual([10, 20, 30, 255]);
  });
});

test("dots get smaller with their number and larger with the zoom", () => {
  expect(radiusOf(100, 1)).toBeGreaterThan(radiusOf(100_000, 1));
  expect(radiusOf(100_000, 20)).toBeGreaterThan(radiusOf(100_000, 1));
});

test.each([
  ["#0072b2", [0, 114, 178]],
  ["rgb(1, 2, 3)", [1, 2, 3]],
  ["rgba(1, 2, 3, 0.5)", [1, 2, 3]],
  ["color(srgb 1 0.5 0)", [255, 128, 0]],
])("rgbOf reads %s", (css, rgb) => {
  expect(rgbOf(css)).toEqual(rgb);
});

describe("nearest", () => {
  const places = Float32Array.from([0, 0, 1, 0, GONE, GONE, 1.2, 0]);
  const index = indexOf(places);
  const view = { x: 0, y: 0, scale: 10, width: 100, height: 100 };
  const find = (x: number, y: number, selected: Uint8Array | null = null) => nearest(index, places, view, ...toScreen(view, x, y), 9, selected);

  test("finds the nearest within reach, and nothing beyond it", () => {
    expect(find(0.05, 0)).toBe(0);
    expect(find(1.15, 0)).toBe(3);
    expect(find(3, 3)).toBeNull();
  });

  test("leaves out documents that are not selected", () => {
    expect(find(1.15, 0, Uint8Array.from([1, 1, 1, 0]))).toBe(1);
  });
});
