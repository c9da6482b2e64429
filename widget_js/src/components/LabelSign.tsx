/** The human verdict on a score, as a sign beside it. */

import { labelOf, VERDICTS } from "../labelling";
import type { Store } from "../store";

const SIGNS = { right: "✓", wrong: "✗", unsure: "?" } as const;

export function LabelSign({ store, row, conceptId }: { store: Store; row: number; conceptId: string }) {
  const label = labelOf(store.labels.value, row, conceptId);
  if (label === null) return null;
  const name = VERDICTS.find(({ verdict }) => verdict === label.verdict)?.name ?? "";
  const told = `Judged: ${name.toLowerCase()}${label.current ? "" : ", before the score or the criterion changed"}`;
  const text = label.note === "" ? told : `${told}. ${label.note}`;
  return (
    <span class="lloom-sign" data-verdict={label.verdict} data-current={label.current} title={text} role="img" aria-label={text}>
      {SIGNS[label.verdict]}
    </span>
  );
}
