/** What can be done with a concept: edit, merge, split, remove. */

import { useState } from "preact/hooks";
import type { Concept } from "../protocol";
import type { Store } from "../store";
import { MergeDialog } from "./MergeDialog";
import { RemoveDialog } from "./RemoveDialog";
import { SplitDialog } from "./SplitDialog";

interface Props {
  store: Store;
  concept: Concept;
  onEdit: () => void;
}

export function ConceptActions({ store, concept, onEdit }: Props) {
  const [open, setOpen] = useState<"merge" | "split" | "remove" | null>(null);
  const close = (): void => setOpen(null);
  return (
    <>
      <div class="lloom-actions" role="group" aria-label={`Change ${concept.name}`}>
        <button type="button" class="lloom-button lloom-button--quiet" data-edit onClick={onEdit}>
          Edit
        </button>
        <button
          type="button"
          class="lloom-button lloom-button--quiet"
          disabled={store.concepts.value.length < 2}
          onClick={() => setOpen("merge")}
        >
          Merge…
        </button>
        <button
          type="button"
          class="lloom-button lloom-button--quiet"
          disabled={!concept.scored}
          title={concept.scored ? undefined : "Score it first: a split starts from its matches."}
          onClick={() => setOpen("split")}
        >
          Split…
        </button>
        <button type="button" class="lloom-button lloom-button--quiet" onClick={() => setOpen("remove")}>
          Remove…
        </button>
      </div>
      {open === "merge" && <MergeDialog store={store} ids={[concept.id]} onClose={close} />}
      {open === "split" && <SplitDialog store={store} concept={concept} onClose={close} />}
      {open === "remove" && <RemoveDialog store={store} concept={concept} onClose={close} />}
    </>
  );
}
