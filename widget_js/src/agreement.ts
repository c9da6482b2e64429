/** How far human labels agree with the model's scores, per concept. */

import type { Label } from "./protocol";
import { wilson } from "./wilson";

export interface Agreement {
  right: number;
  wrong: number;
  unsure: number;
  /** Labels about an earlier score or criterion; counted nowhere else. */
  outdated: number;
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
  const byConcept = new Map<string, Pick<Agreement, "right" | "wrong" | "unsure" | "outdated">>();
  for (const { concept_id: id, verdict, current } of labels) {
    const counts = byConcept.get(id) ?? { right: 0, wrong: 0, unsure: 0, outdated: 0 };
    counts[current ? verdict : "outdated"] += 1;
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
