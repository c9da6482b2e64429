import { describe, expect, test } from "vitest";
import { cellFigure, cellInWords, type MatrixCell, type MatrixRow, radiusOf } from "../src/matrix";

const ROW = { id: "late", name: "Late buses", criteria: "Is a bus late?", matches: 20, scored: 100, place: 0, cells: [] } as unknown as MatrixRow;
const CELL: MatrixCell = { slice: 1, matches: 5, scored: 40, value: 5 };

test("the area of a circle, not its radius, is proportional to the value", () => {
  expect(radiusOf(4, 16, 10)).toBe(5);
  expect(radiusOf(16, 16, 10)).toBe(10);
  expect(radiusOf(null, 16, 10)).toBe(0);
  expect(radiusOf(0, 0, 10)).toBe(0);
});

describe("a cell", () => {
  test("is told with its slice, and with the share of the concept where that is drawn", () => {
    expect(cellInWords(ROW, CELL, "North", null)).toBe("Late buses, slice North: 5 of 40 documents (13%)");
    expect(cellInWords(ROW, CELL, "North", "concept")).toMatch(/\(13%\); 25% of all that match$/);
  });

  test("shows its count, its share of the slice, or its share of the concept", () => {
    expect(cellFigure(CELL, null, ROW)).toBe("5");
    expect(cellFigure({ ...CELL, value: 0.125 }, "slice", ROW)).toBe("13%");
    expect(cellFigure({ ...CELL, value: 0.25 }, "concept", ROW)).toBe("25%");
  });

  test("without matches is empty, and without anything to take a share of is a dash", () => {
    expect(cellFigure({ ...CELL, matches: 0, value: 0 }, null, ROW)).toBe("");
    expect(cellFigure({ ...CELL, matches: 0, scored: 0, value: null }, "slice", ROW)).toBe("–");
  });
});
