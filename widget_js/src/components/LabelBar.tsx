/** Judging the scores of the documents in the list: which document, the three verdicts, how it stands. */

import { agreementOf } from "../agreement";
import type { Asking } from "../asking";
import type { Store } from "../store";
import { AgreementNote } from "./AgreementNote";
import { LabelControls } from "./LabelControls";

interface Props {
  store: Store;
  /** The document whose score is judged, or null. */
  row: number | null;
  conceptId: string;
  asking: Asking;
  noting: boolean;
  onNoting: (open: boolean) => void;
}

export function LabelBar({ store, row, conceptId, asking, noting, onNoting }: Props) {
  const agreement = agreementOf(store.labels.value.filter((label) => label.concept_id === conceptId)).get(conceptId);
  if (!store.editable.value && agreement === undefined) return null;
  const id = row === null ? undefined : store.documents.pages.get(row, store.documents.lens.value)?.id;
  return (
    <div class="lloom-labelbar">
      {row !== null && (
        <>
          <span class="lloom-labelbar-id">{id === undefined ? "Score right?" : `Score of ${id} right?`}</span>
          <LabelControls store={store} row={row} conceptId={conceptId} asking={asking} noting={noting} onNoting={onNoting} />
        </>
      )}
      {row === null && store.editable.value && store.documents.selection.value.rows.length > 0 && (
        <span class="lloom-note">
          Judge the scores: <kbd>j</kbd> <kbd>k</kbd> next and previous document, <kbd>y</kbd> right, <kbd>n</kbd> wrong,{" "}
          <kbd>u</kbd> unsure, <kbd>e</kbd> note.
        </span>
      )}
      <span class="lloom-spring" />
      {agreement !== undefined && <AgreementNote agreement={agreement} />}
    </div>
  );
}
