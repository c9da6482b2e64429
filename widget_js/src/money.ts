/** What scoring costs, in words. */

import { count } from "./format";
import type { Estimate } from "./protocol";

/** A price: "free", "about $0.40", "about $0.40–0.55", "price unknown". */
export function price(estimate: Estimate): string {
  const { free, known, usd_low: low, usd_high: high } = estimate;
  if (free) return "free";
  if (!known || high === null) return "price unknown";
  const [from, to] = [dollars(low ?? high), dollars(high)];
  return from === to ? `about $${to}` : `about $${from}–${to}`;
}

/** Dollars to the cent; smaller sums to two significant digits; never "0.00" for money that is spent. */
function dollars(usd: number): string {
  if (usd >= 100) return count(Math.round(usd));
  if (usd >= 0.1 || usd === 0) return usd.toFixed(2);
  if (usd < 0.0001) return "0.0001";
  return String(Number(usd.toPrecision(2)));
}

/** What the user has agreed to spend by pressing a button that shows this estimate; null where it is free. */
export function confirmed(estimate: Estimate): number | null {
  return estimate.free ? null : (estimate.usd_high ?? 0);
}
