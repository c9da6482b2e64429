import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/preact";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ConceptEditor } from "../src/components/ConceptEditor";
import { LabelControls } from "../src/components/LabelControls";
import { ScoreBar } from "../src/components/ScoreBar";
import { UndoBar } from "../src/components/UndoBar";
import { useAsking } from "../src/asking";
import type { Concept, Edit, Estimate, Traits } from "../src/protocol";
import { SourceError, type Source } from "../src/source";
import { Store } from "../src/store";

afterEach(cleanup);

const concept = (rest: Partial<Concept> = {}): Concept => ({
  id: "a", name: "Late buses", criteria: "Do buses run late?", summary: "", seed: null, active: true, support: 3,
  examples: [], scored: true, stale: false, merged_from: [], ...rest,
});
const ESTIMATE: Estimate = { n_docs: 1200, n_requests: 150, usd_low: 0.3, usd_high: 0.4, known: true, free: false };

/** A source in memory; `answer` may throw. */
function sourceOf(traits: Partial<Traits>, answer: (kind: string, ask: unknown) => object = () => ({})): Source & { asked: [string, unknown][] } {
  const asked: [string, unknown][] = [];
  const values: Record<string, unknown> = { editable: true, concepts: [concept()], about: { n_docs: 0, columns: [], models: ["m"] }, ...traits };
  return {
    asked,
    editable: true,
    get: (name: string) => values[name] as never,
    on: () => () => undefined,
    set: (name: string, value: unknown) => {
      values[name] = value;
    },
    request: (async (kind: string, ask: unknown) => {
      asked.push([kind, ask]);
      return { concept_ids: ["a"], buffers: [], ...answer(kind, ask) };
    }) as Source["request"],
    dispose: () => undefined,
  };
}

const edits = (source: { asked: [string, unknown][] }): Edit[] => source.asked.filter(([kind]) => kind === "edit").map(([, ask]) => ask as Edit);
const type = (label: string, value: string): void => {
  fireEvent.input(screen.getByLabelText(label), { target: { value } });
};

describe("ConceptEditor", () => {
  it("sends a rename and a new criterion as two edits, and scores what came of the second", async () => {
    const source = sourceOf({}, (kind) => (kind === "estimate" ? ESTIMATE : {}));
    const done = vi.fn();
    render(<ConceptEditor store={new Store(source)} concept={concept()} onDone={done} />);
    type("Name", "Buses");
    type("Criterion", "Are buses late or missing?");
    fireEvent.click(await screen.findByRole("button", { name: "Save and re-score, about $0.30–0.40" }));
    await waitFor(() => expect(done).toHaveBeenCalled());
    expect(edits(source).map(({ action }) => action)).toEqual(["rename", "criteria"]);
    expect(source.asked.at(-1)).toEqual(["score", { concept_ids: ["a"], confirmed_usd: 0.4 }]);
  });

  it("asks for no estimate where no scores are lost", () => {
    vi.useFakeTimers();
    const source = sourceOf({}, () => ESTIMATE);
    render(<ConceptEditor store={new Store(source)} concept={concept({ scored: false })} onDone={() => undefined} />);
    type("Criterion", "Are buses late?");
    vi.advanceTimersByTime(60_000);
    vi.useRealTimers();
    expect(source.asked).toEqual([]);
  });

  it("stays open with what was typed when the edit is refused", async () => {
    const source = sourceOf({}, () => {
      throw new SourceError("refused", "The session is at work.");
    });
    const done = vi.fn();
    render(<ConceptEditor store={new Store(source)} concept={concept()} onDone={done} />);
    type("Name", "Buses");
    fireEvent.click(screen.getByRole("button", { name: "Save" }));
    expect((await screen.findByRole("alert")).textContent).toContain("The session is at work.");
    expect(screen.getByLabelText<HTMLInputElement>("Name").value).toBe("Buses");
    expect(done).not.toHaveBeenCalled();
  });
});

describe("ScoreBar", () => {
  it.each([
    [{}, "Score 1 concept, about $0.30–0.40", 0.4],
    [{ free: true, usd_low: 0, usd_high: 0 }, "Score 1 concept, free", null],
    [{ known: false, usd_low: 0, usd_high: 0 }, "Score 1 concept, price unknown", 0],
  ] as [Partial<Estimate>, string, number | null][])("%j: the button says what it costs", async (rest, name, confirmed_usd) => {
    const source = sourceOf({ chosen: ["a", "gone"] }, (kind) => (kind === "estimate" ? { ...ESTIMATE, ...rest } : {}));
    render(<ScoreBar store={new Store(source)} />);
    fireEvent.click(await screen.findByRole("button", { name }));
    expect(source.asked.at(-1)).toEqual(["score", { concept_ids: ["a"], confirmed_usd }]);
  });

  it("offers a retry when the kernel is busy", async () => {
    let busy = true;
    const source = sourceOf({ chosen: ["a"] }, () => {
      if (busy) throw new SourceError("timeout", "no answer");
      return ESTIMATE;
    });
    render(<ScoreBar store={new Store(source)} />);
    const retry = await screen.findByRole("button", { name: "Retry" });
    busy = false;
    fireEvent.click(retry);
    expect(await screen.findByRole("button", { name: /about \$0\.30/ })).toBeTruthy();
  });

  it("cannot be pressed while scoring is under way", () => {
    const progress = { step: "Score", done: 1, total: 9, failures: 0, usd: 0, seconds: 1, cancellable: true };
    render(<ScoreBar store={new Store(sourceOf({ chosen: ["a"], progress }))} />);
    expect(screen.getByRole("button").getAttribute("aria-disabled")).toBe("true");
    expect(screen.getByText(/Scoring is under way/)).toBeTruthy();
  });
});

describe("UndoBar", () => {
  it("is not there while there is nothing to undo or redo", () => {
    const { container } = render(<UndoBar store={new Store(sourceOf({ history: { undo: null, redo: null, events: [] } }))} />);
    expect(container.textContent).toBe("");
  });

  it("names what it does, and asks for it", async () => {
    const source = sourceOf({ history: { undo: "merge A and B", redo: null, events: [] } });
    render(<UndoBar store={new Store(source)} />);
    fireEvent.click(screen.getByRole("button", { name: /Undo: merge A and B/ }));
    expect(screen.getByRole("button", { name: /Redo/ }).getAttribute("aria-disabled")).toBe("true");
    await waitFor(() => expect(edits(source)).toEqual([{ action: "undo" }]));
  });
});

describe("LabelControls", () => {
  const label = { row: 4, concept_id: "a", verdict: "wrong" as const, note: "irony", score: 1, current: true };
  function Controls({ store }: { store: Store }) {
    return <LabelControls store={store} row={4} conceptId="a" asking={useAsking()} noting={false} onNoting={() => undefined} />;
  }

  it("takes a verdict away when it is given again, and its note with it", async () => {
    const source = sourceOf({ labels: [label] });
    render(<Controls store={new Store(source)} />);
    const wrong = screen.getByRole("button", { name: "Wrong" });
    expect(wrong.getAttribute("aria-pressed")).toBe("true");
    fireEvent.click(wrong);
    await waitFor(() => expect(edits(source)).toEqual([{ action: "label", row: 4, concept_id: "a", verdict: null, note: "" }]));
  });

  it("shows a label without buttons where nothing can be edited", () => {
    render(<Controls store={new Store(sourceOf({ labels: [label], editable: false }))} />);
    expect(screen.queryByRole("button")).toBeNull();
    expect(screen.getByText(/irony/)).toBeTruthy();
  });
});
