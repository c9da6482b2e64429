import { cleanup, fireEvent, render, screen, within } from "@testing-library/preact";
import { afterEach, describe, expect, it } from "vitest";
import { ActiveFilters } from "../src/components/ActiveFilters";
import { MarkedText } from "../src/components/MarkedText";
import { MatrixMark } from "../src/components/MatrixMark";
import { Overview } from "../src/components/Overview";
import { SliceBars } from "../src/components/SliceBars";
import { rowFor } from "../src/rows";
import type { Traits, ViewState } from "../src/protocol";
import type { Source } from "../src/source";
import { Store } from "../src/store";

afterEach(cleanup);

/** A store over four documents, two concepts and two slices; what it sets is kept. */
function storeOf(state: Partial<ViewState> = {}): Store {
  const listeners = new Map<string, () => void>();
  const concept = (id: string, name: string) => ({
    id, name, criteria: `About ${name}?`, summary: "", seed: null, active: true, support: 2, examples: [], scored: true, stale: false, merged_from: [],
  });
  const traits: Partial<Traits> = {
    about: { title: "", n_docs: 4, id_col: "id", text_col: "text", columns: [{ name: "likes", kind: "number" }], shown_columns: [], sample: null, models: [], made_at: "" },
    concepts: [concept("a", "Late <b>buses</b>"), concept("b", "Fares")],
    score_ids: ["a", "b"],
    scores: Uint8Array.of(4, 4, 3, 0, /* b */ 0, 0, 255, 4),
    slices: { column: "area", kind: "category", labels: ["North", "South"] },
    slice_codes: new Uint8Array(Uint16Array.of(0, 0, 1, 1).buffer),
    state,
  };
  const source: Source = {
    editable: false,
    get: (name) => traits[name] as never,
    on: (name, listener) => (listeners.set(name, listener), () => undefined),
    set: (name, value) => {
      traits[name] = value as never;
    },
    request: () => new Promise(() => undefined),
    dispose: () => undefined,
  };
  return new Store(source);
}

describe("the overview", () => {
  it("lists concepts by prevalence, the outliers last, in words", () => {
    render(<Overview store={storeOf()} />);
    const names = screen.getAllByRole("button").map((bar) => bar.getAttribute("aria-label")).filter((name) => name?.includes(" of "));
    expect(names).toEqual(["Late <b>buses</b>: 2 of 4 documents, 50%", "Fares: 1 of 3 documents, 33%", "Outliers: 1 of 4 documents, 25%"]);
  });

  it("opens what is clicked and ends other filters", () => {
    const store = storeOf({ query: "bus", slices: [1], threshold: 0.75 });
    render(<Overview store={store} />);
    fireEvent.click(screen.getByRole("button", { name: /^Fares/ }));
    expect(store.state.value).toMatchObject({ concept: "b", query: "", slices: [], threshold: 0.75 });
    expect([...store.documents.selection.value.rows]).toEqual([3]);
  });

  it("counts anew when the threshold moves", async () => {
    const store = storeOf();
    render(<Overview store={store} />);
    store.update({ threshold: 0.75 });
    expect(await screen.findByRole("button", { name: "Late <b>buses</b>: 3 of 4 documents, 75%" })).toBeTruthy();
  });
});

describe("marked text", () => {
  it("is text, whatever it says", () => {
    const { container } = render(<MarkedText text={"a <img src=x> b"} spans={[[2, 13]]} hits={[[3, 6]]} />);
    expect(container.textContent).toBe("a <img src=x> b");
    expect(container.querySelector("mark")?.textContent).toBe("<img src=x>");
    expect(container.querySelector("mark .lloom-hit")?.textContent).toBe("img");
    expect(container.querySelector("img")).toBeNull();
  });
});

describe("filters that are on", () => {
  it("are told with the concept they are joined to, and end one by one", () => {
    const store = storeOf({ concept: "a", slice: 1, columns: { likes: { min: 1000, max: 2500 } } });
    render(<ActiveFilters store={store} />);
    const chips = (): string[] => screen.getAllByRole("button").map((chip) => chip.textContent ?? "");
    expect(chips()).toEqual(["Late <b>buses</b> ×", "area: South ×", "likes: 1,000 to 2,500 ×"]);
    fireEvent.click(screen.getByRole("button", { name: "Remove filter area: South" }));
    expect(store.state.value.slice).toBeNull();
    expect(store.state.value.concept).toBe("a");
  });

  it("are nothing when only a concept is open", () => {
    const { container } = render(<ActiveFilters store={storeOf({ concept: "a" })} />);
    expect(container.textContent).toBe("");
  });
});

describe("bars by slice", () => {
  it("tell counts, intervals and small groups", () => {
    const store = storeOf({ concept: "a" });
    render(<SliceBars store={store} row={rowFor(store, "a")!} />);
    const north = screen.getByRole("button", { name: /^North/ });
    expect(north.getAttribute("aria-label")).toBe("North: 2 of 2 documents, 100%; 95% interval 34% to 100%; small group");
    expect(within(north).getByText("2 of 2")).toBeTruthy();
    fireEvent.click(north);
    expect(store.state.value.slice).toBe(0);
  });
});

describe("a cell of the matrix", () => {
  const row = { ...rowFor(storeOf(), "a")!, cells: [] };
  const drawn = (value: number | null) =>
    render(<MatrixMark cell={{ slice: 0, matches: value ?? 0, scored: 9, value }} row={row} largest={100} norm={null} drawn="circles" />).container.querySelector("circle");
  it("draws areas in proportion and nothing for zero", () => {
    const [all, quarter] = [drawn(100), drawn(25)].map((circle) => Number(circle?.getAttribute("r")));
    expect((all as number) / (quarter as number)).toBeCloseTo(2, 3);
    expect(drawn(0)).toBeNull();
    expect(drawn(null)).toBeNull();
  });
});
