import { describe, expect, it } from "vitest";
import { excerptOf, spansWithin } from "../src/excerpt";
import { findHits, fold } from "../src/folding";
import { metaOf, percent } from "../src/format";
import { piecesOf, snippetOf } from "../src/marks";

describe("pieces of a text", () => {
  it("join to the text and mark what is asked", () => {
    const text = "The 🙏🏽 bus came late.";
    const bus = text.indexOf("bus");
    const pieces = piecesOf(text, [[bus, bus + 8]], [[bus + 4, bus + 13]]);
    expect(pieces.map((piece) => piece.text).join("")).toBe(text);
    expect(pieces.filter(({ marked }) => marked).map((piece) => piece.text).join("")).toBe("bus came");
    expect(pieces.filter(({ hit }) => hit).map((piece) => piece.text).join("")).toBe("came late");
    expect(pieces.find(({ marked, hit }) => marked && hit)?.text).toBe("came");
  });

  it("bear offsets that are out of range or empty", () => {
    expect(piecesOf("abc", [[-5, 99]])).toEqual([{ text: "abc", marked: true, hit: false }]);
    expect(piecesOf("abc", [[2, 2]])).toEqual([{ text: "abc", marked: false, hit: false }]);
    expect(piecesOf("", [[0, 3]])).toEqual([]);
  });

  it("start shortly before the first mark", () => {
    const text = `${"word ".repeat(60)}the end`;
    const at = text.indexOf("the end");
    const snippet = snippetOf(text, [[at, at + 7]]);
    expect(snippet.text.startsWith("…word")).toBe(true);
    const [start, end] = snippet.spans[0] as [number, number];
    expect(snippet.text.slice(start, end)).toBe("the end");
    expect(start).toBeLessThan(70);
    expect(snippetOf("short", [[0, 5]]).text).toBe("short");
  });
});

describe("folding", () => {
  it("ignores case, form and white space", () => {
    expect(fold("  Straße\n ＦＵＬＬ  ﬁne ")).toBe("strasse full fine");
    expect(fold("ΟΔΟΣ")).toBe(fold("οδος"));
    expect(fold("e\u0301te\u0301")).toBe(fold("Été"));
  });

  it("finds hits in the original text", () => {
    const found = (query: string, text: string): string[] => findHits(query, text).map(([a, b]) => text.slice(a, b));
    expect(found("STRASSE", "Die Straße, die STRASSE")).toEqual(["Straße", "STRASSE"]);
    expect(found("bus  stop", "🙏🏽 the Bus\n\t stop")).toEqual(["Bus\n\t stop"]);
    expect(found("été", "un e\u0301te\u0301 chaud")).toEqual(["e\u0301te\u0301"]);
    expect(found("  ", "a b")).toEqual([]);
    expect(found("aa", "aaaaa")).toEqual(["aa", "aa"]);
  });
});

describe("excerpts", () => {
  it("lie around the first span and do not cut words or characters", () => {
    const text = `${"lorem ".repeat(200)}HERE ${"ipsum ".repeat(200)}`;
    const at = text.indexOf("HERE");
    const part = excerptOf(text, [[at, at + 4]]);
    const shown = text.slice(part.start, part.end);
    const [span] = spansWithin([[at, at + 4]], part);
    expect(part.cut).toBe(true);
    expect(shown.length).toBeLessThanOrEqual(600);
    expect(shown.slice(...(span as [number, number]))).toBe("HERE");
    expect(shown.startsWith("lorem")).toBe(true);
    const faces = "😀".repeat(700);
    const { start, end } = excerptOf(faces, [[701, 703]]);
    expect(faces.slice(start, end)).toBe("😀".repeat((end - start) / 2));
    expect(excerptOf("short", [])).toEqual({ start: 0, end: 5, cut: false });
  });
});

describe("figures", () => {
  it("are written with as many digits as they are worth", () => {
    expect([percent(0, 5), percent(5, 5), percent(1, 3), percent(1, 30), percent(1, 5000), percent(4999, 5000), percent(1, 0)]).toEqual([
      "0%", "100%", "33%", "3.3%", "<0.1%", ">99.9%", "–",
    ]);
  });

  it("are not taken from what all objects have", () => {
    expect(metaOf({ a: "x", b: "" }, "a")).toBe("x");
    expect([metaOf({}, "constructor"), metaOf({}, "__proto__"), metaOf({ b: "" }, "b")]).toEqual(["–", "–", "–"]);
  });
});
