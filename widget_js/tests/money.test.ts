import { expect, test } from "vitest";
import { confirmed, price } from "../src/money";
import type { Estimate } from "../src/protocol";

const estimate = (rest: Partial<Estimate>): Estimate => ({ n_docs: 1, n_requests: 1, usd_low: 0.2, usd_high: 0.3, known: true, free: false, ...rest });

test.each([
  [{ free: true, usd_low: 0, usd_high: 0 }, "free"],
  [{ known: false, usd_low: null, usd_high: null }, "price unknown"],
  [{}, "about $0.20–0.30"],
  [{ usd_low: 0.301, usd_high: 0.304 }, "about $0.30"],
  [{ usd_low: 0.0123, usd_high: 0.0188 }, "about $0.012–0.019"],
  [{ usd_low: 0.000001, usd_high: 0.000002 }, "about $0.0001"],
  [{ usd_low: 1200.4, usd_high: 2400.6 }, "about $1,200–2,401"],
] as [Partial<Estimate>, string][])("%j is written %j", (rest, text) => {
  expect(price(estimate(rest))).toBe(text);
});

test("what is confirmed is the upper end; nothing where it is free", () => {
  expect(confirmed(estimate({}))).toBe(0.3);
  expect(confirmed(estimate({ free: true }))).toBeNull();
});
