/** Editing one concept in place: its name, its criterion, and what a changed criterion would cost. */

import { useState } from "preact/hooks";
import { useAsking } from "../asking";
import { useEstimate } from "../estimating";
import { price } from "../money";
import type { Concept, Draft, Edit } from "../protocol";
import { change } from "../scoring";
import type { Store } from "../store";
import { Action } from "./Action";
import { ConceptFields, lacking, trimmed } from "./ConceptFields";
import { Cost } from "./Cost";
import { Notice } from "./Notice";

interface Props {
  store: Store;
  concept: Concept;
  onDone: () => void;
}

export function ConceptEditor({ store, concept, onDone }: Props) {
  const [typed, setTyped] = useState<Partial<Draft>>({});
  // What was not typed here follows the concept, which may be changed elsewhere meanwhile.
  const draft: Draft = { name: concept.name, criteria: concept.criteria, ...typed };
  const setDraft = ({ name, criteria }: Draft): void =>
    setTyped({
      ...typed,
      ...(name === draft.name ? {} : { name }),
      ...(criteria === draft.criteria ? {} : { criteria }),
    });
  const asking = useAsking();
  const renamed = draft.name.trim() !== concept.name;
  const restated = draft.criteria.trim() !== concept.criteria;
  const problem = lacking(draft);
  const rescored = restated && (concept.scored || concept.stale);
  const estimating = useEstimate(store, [], rescored && problem === null ? [trimmed(draft)] : []);
  const off = problem !== null || asking.waiting || !(renamed || restated);
  const save = async (rescore: boolean): Promise<void> => {
    if (off) return;
    const ended = await asking.ask(async () => {
      await change(store, editsOf(concept, trimmed(draft)), rescore ? estimating.estimate : null);
    });
    if (ended) onDone();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "Escape") onDone();
    else if (event.key === "Enter" && event.currentTarget !== event.target && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      event.stopPropagation();
      void save(false);
    }
  };
  return (
    <form
      class="lloom-editor"
      aria-label={`Edit ${concept.name}`}
      onKeyDown={onKeyDown}
      onSubmit={(event) => {
        event.preventDefault();
        void save(false);
      }}
    >
      <ConceptFields value={draft} onChange={setDraft} focus />
      {rescored && (
        <div class="lloom-consequence">
          <p>The scores were made under the old criterion. They are set aside until the documents are scored again.</p>
          <Cost estimating={estimating} verb="Re-score" />
        </div>
      )}
      {renamed && !restated && <p class="lloom-note">The scores stay: a name is only a label.</p>}
      {problem !== null && <p class="lloom-problem">{problem}</p>}
      <Notice asking={asking} />
      <div class="lloom-actions lloom-editor-actions">
        <button type="button" class="lloom-button lloom-button--quiet" onClick={onDone}>
          Cancel
        </button>
        {rescored && (
          <Action class="lloom-button" off={off || estimating.estimate === null} onClick={() => void save(true)}>
            {estimating.estimate === null ? "Save and re-score" : `Save and re-score, ${price(estimating.estimate)}`}
          </Action>
        )}
        <Action type="submit" class="lloom-button lloom-button--primary" off={off}>
          Save
        </Action>
      </div>
    </form>
  );
}

/** The edits that lead from the concept to the draft; the criterion last, since it may be followed by scoring. */
export function editsOf(concept: Concept, draft: Draft): Edit[] {
  const edits: Edit[] = [];
  if (draft.name !== concept.name) edits.push({ action: "rename", concept_id: concept.id, name: draft.name });
  if (draft.criteria !== concept.criteria) {
    edits.push({ action: "criteria", concept_id: concept.id, criteria: draft.criteria });
  }
  return edits;
}
