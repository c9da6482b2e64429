/** The Wilson score interval of a share (Wilson 1927), which holds for small groups and for shares near 0 and 1. */

const Z_95 = 1.959963984540054;

export interface Interval {
  low: number;
  high: number;
}

/** The 95% interval of `part` of `whole`; the whole range when there is nothing to count. */
export function wilson(part: number, whole: number): Interval {
  if (whole === 0) return { low: 0, high: 1 };
  const share = part / whole;
  const z2 = Z_95 ** 2 / whole;
  const center = (share + z2 / 2) / (1 + z2);
  const half = (Z_95 / (1 + z2)) * Math.sqrt((share * (1 - share)) / whole + z2 / (4 * whole));
  // At the ends the arithmetic leaves a rest of some 1e-17.
  return { low: part === 0 ? 0 : center - half, high: part === whole ? 1 : center + half };
}
