/** Asking before a concept is removed. */

import { useAsking } from "../asking";
import type { Concept } from "../protocol";
import { change } from "../scoring";
import type { Store } from "../store";
import { Action } from "./Action";
import { Dialog } from "./Dialog";
import { Notice } from "./Notice";

interface Props {
  store: Store;
  concept: Concept;
  onClose: () => void;
}

export function RemoveDialog({ store, concept, onClose }: Props) {
  const asking = useAsking();
  const remove = async (): Promise<void> => {
    const ended = await asking.ask(async () => {
      await change(store, [{ action: "remove", concept_ids: [concept.id] }]);
    });
    if (ended) onClose();
  };
  return (
    <Dialog
      title={`Remove “${concept.name}”?`}
      onClose={onClose}
      actions={
        <>
          <button type="button" class="lloom-button lloom-button--quiet" onClick={onClose}>
            Cancel
          </button>
          <span class="lloom-spring" />
          <Action class="lloom-button lloom-button--danger" off={asking.waiting} autofocus onClick={() => void remove()}>
            Remove
          </Action>
        </>
      }
    >
      <p>{concept.criteria}</p>
      <p class="lloom-note">
        {concept.scored ? "It leaves the view together with its scores. Undo brings both back." : "Undo brings it back."}
      </p>
      <Notice asking={asking} />
    </Dialog>
  );
}
