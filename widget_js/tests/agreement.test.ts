import { describe, expect, test } from "vitest";
import { agreementOf } from "../src/agreement";
import type { Label, Verdict } from "../src/protocol";

const label = (concept_id: string, verdict: Verdict, row: number): Label => ({ row, concept_id, verdict, note: "", score: 1, current: true });

describe("agreementOf", () => {
  test("is the share of right among right and wrong; unsure takes no side", () => {
    const labels = [label("a", "right", 1), label("a", "right", 2), label("a", "wrong", 3), label("a", "unsure", 4), label("b", "wrong", 1)];
    const agreement = agreementOf(labels);
    expect(agreement.get("a")).toMatchObject({ right: 2, wrong: 1, unsure: 1, share: 2 / 3, few: true });
    expect(agreement.get("b")).toMatchObject({ right: 0, wrong: 1, share: 0 });
  });

  test("labels about an earlier score count as outdated and nowhere else", () => {
    const old = { ...label("a", "wrong", 1), current: false };
    expect(agreementOf([old, label("a", "right", 2)]).get("a")).toMatchObject({ right: 1, wrong: 0, outdated: 1, share: 1 });
  });

  test("has no share while every label is unsure", () => {
    expect(agreementOf([label("a", "unsure", 1)]).get("a")).toMatchObject({ share: null, few: true });
  });

  test("says whether it rests on few labels, and how sure it is", () => {
    const many = Array.from({ length: 40 }, (_, row) => label("a", row < 36 ? "right" : "wrong", row));
    const { few, low, high } = agreementOf(many).get("a") ?? { few: true, low: 0, high: 0 };
    expect(few).toBe(false);
    // Wilson's interval for 36 of 40, as statsmodels' proportion_confint gives it.
    expect(low).toBeCloseTo(0.7695, 3);
    expect(high).toBeCloseTo(0.9604, 3);
  });
});
