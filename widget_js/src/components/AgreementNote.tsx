/** How far people agreed with the scores of a concept, in one line. */

import { type Agreement, FEW } from "../agreement";
import { percent } from "../format";

export function AgreementNote({ agreement }: { agreement: Agreement }) {
  const { right, wrong, unsure, outdated, share, low, high, few } = agreement;
  const judged = right + wrong;
  return (
    <p class="lloom-agreement">
      {share === null ? (
        <span>No score of now judged</span>
      ) : (
        <>
          <strong>{`${percent(right, judged)} right`}</strong>
          <span>{` (${right} of ${judged} judged, 95% interval ${percent(low, 1)}–${percent(high, 1)})`}</span>
        </>
      )}
      {unsure > 0 && <span>{`, ${unsure} unsure`}</span>}
      {outdated > 0 && <span title="Judged before the score or the criterion changed">{`, ${outdated} outdated`}</span>}
      {few && share !== null && " "}
      {few && share !== null && (
        <span class="lloom-badge" title={`Fewer than ${FEW} scores were judged: the share says little.`}>
          few labels
        </span>
      )}
    </p>
  );
}
