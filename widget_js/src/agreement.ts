/** How far human labels agree with the model's scores, per concept. */

import type { Label } from "./protocol";
import { wilson } from "./wilson";

export interface Agreement {
  right: number;
  wrong: number;
  unsure: number;
  /** Right as a share of right and wrong; null when no label takes a side. */
  share: number | null;
  /** Wilson's 95 % interval of `share`. */
  low: number;
  high: number;
  /** Fewer than `FEW` labels take a side: the share says little. */
  few: boolean;
}

/** Below this many labels a share is marked as resting on few. */
export const FEW = 20;

/** Agreement for each concept that has labels. */
export function agreementOf(labels: readonly Label[]): Map<string, Agreement> {
  const byConcept = new Map<string, { right: number; wrong: number; unsure: number }>();
  for (const { concept_id: id, verdict } of labels) {
    const counts = byConcept.get(id) ?? { right: 0, wrong: 0, unsure: 0 };
    counts[verdict] += 1;
    byConcept.set(id, counts);
  }
  return new Map([...byConcept].map(([id, counts]) => [id, { ...counts, ...shareOf(counts.right, counts.wrong) }]));
}

function shareOf(right: number, wrong: number): Pick<Agreement, "share" | "low" | "high" | "few"> {
  const n = right + wrong;
  if (n === 0) return { share: null, low: 0, high: 1, few: true };
  const { low, high } = wilson(right, n);
  return { share: right / n, low, high, few: n < FEW };
}

/** The key of a label: a document and a concept. */
export function labelKey(row: number, conceptId: string): string {
  return `${row} ${conceptId}`;
}
