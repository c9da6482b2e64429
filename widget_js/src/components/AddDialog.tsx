/** Adding a concept of one's own. */

import { useState } from "preact/hooks";
import { useAsking } from "../asking";
import { useEstimate } from "../estimating";
import { price } from "../money";
import type { Draft } from "../protocol";
import { change } from "../scoring";
import type { Store } from "../store";
import { ConceptFields, lacking } from "./ConceptFields";
import { Cost } from "./Cost";
import { Dialog } from "./Dialog";
import { Notice } from "./Notice";

export function AddDialog({ store, onClose }: { store: Store; onClose: () => void }) {
  const [draft, setDraft] = useState<Draft>({ name: "", criteria: "" });
  const asking = useAsking();
  const problem = lacking(draft);
  const estimating = useEstimate(store, [], problem === null ? [draft] : []);
  const { estimate } = estimating;
  const add = async (score: boolean): Promise<void> => {
    const edit = { action: "add" as const, name: draft.name.trim(), criteria: draft.criteria.trim() };
    const ended = await asking.ask(async () => {
      await change(store, [edit], score ? estimate : null);
    });
    if (ended) onClose();
  };
  const off = problem !== null || asking.waiting;
  return (
    <Dialog
      title="Add a concept"
      onClose={onClose}
      actions={
        <>
          <button type="button" class="lloom-button lloom-button--quiet" onClick={onClose}>
            Cancel
          </button>
          <span class="lloom-spring" />
          <button type="button" class="lloom-button" disabled={off || estimate === null} onClick={() => void add(true)}>
            {estimate === null ? "Add and score" : `Add and score, ${price(estimate)}`}
          </button>
          <button type="button" class="lloom-button lloom-button--primary" disabled={off} onClick={() => void add(false)}>
            Add
          </button>
        </>
      }
    >
      <ConceptFields value={draft} onChange={setDraft} focus />
      {problem === null && (
        <div class="lloom-consequence">
          <Cost estimating={estimating} verb="Score" />
        </div>
      )}
      <Notice asking={asking} />
    </Dialog>
  );
}
