/** Merging two or more concepts into one: which, under what name and criterion, and at what cost. */

import { useMemo, useState } from "preact/hooks";
import { useAsking } from "../asking";
import { useEstimate } from "../estimating";
import { counted } from "../format";
import { price } from "../money";
import { jaccard, overlapOf } from "../overlap";
import type { Concept, Draft } from "../protocol";
import { change } from "../scoring";
import type { Store } from "../store";
import { ConceptFields, lacking } from "./ConceptFields";
import { ConceptPicker } from "./ConceptPicker";
import { Cost } from "./Cost";
import { Dialog } from "./Dialog";
import { Notice } from "./Notice";

interface Props {
  store: Store;
  /** The concepts that are ticked at first; the first gives the name and the criterion. */
  ids: readonly string[];
  onClose: () => void;
}

export function MergeDialog({ store, ids, onClose }: Props) {
  const concepts = store.concepts.value;
  const [ticked, setTicked] = useState<ReadonlySet<string>>(() => new Set(ids));
  const lead = concepts.find((concept) => concept.id === ids[0]);
  const [draft, setDraft] = useState<Draft>({ name: lead?.name ?? "", criteria: lead?.criteria ?? "" });
  const asking = useAsking();
  const parts = concepts.filter((concept) => ticked.has(concept.id));
  const problem = parts.length < 2 ? "Merging needs at least two concepts." : lacking(draft);
  const estimating = useEstimate(store, [], problem === null ? [draft] : []);
  const { threshold } = store.state.value;
  const overlap = useMemo(() => overlapOf(store.scores.value, threshold), [store.scores.value, threshold]);
  const leadAt = overlap.ids.indexOf(ids[0] ?? "");
  const alike = (concept: Concept): number => {
    const at = overlap.ids.indexOf(concept.id);
    return leadAt < 0 || at < 0 ? -1 : jaccard(overlap, leadAt, at);
  };
  const told = (concept: Concept): string => {
    const at = overlap.ids.indexOf(concept.id);
    if (leadAt < 0 || at < 0) return "not scored";
    const both = overlap.both[leadAt * overlap.ids.length + at] as number;
    return at === leadAt ? counted(both, "match", "matches") : `${counted(both, "document")} in common`;
  };
  // The concept itself and the ones ticked from outside come first, then the most alike.
  const listed = useMemo(
    () => [...concepts].sort((a, b) => rank(b, ids) - rank(a, ids) || alike(b) - alike(a)),
    [concepts, overlap],
  );
  const tick = (id: string, on: boolean): void => {
    const next = new Set(ticked);
    if (on) next.add(id);
    else next.delete(id);
    setTicked(next);
  };
  const merge = async (score: boolean): Promise<void> => {
    const merged = {
      action: "merge" as const,
      concept_ids: parts.map((part) => part.id),
      name: draft.name.trim(),
      criteria: draft.criteria.trim(),
    };
    const ended = await asking.ask(async () => {
      await change(store, [merged], score ? estimating.estimate : null);
    });
    if (ended) onClose();
  };
  const { estimate } = estimating;
  const off = problem !== null || asking.waiting;
  return (
    <Dialog
      title="Merge concepts"
      onClose={onClose}
      actions={
        <>
          <button type="button" class="lloom-button lloom-button--quiet" onClick={onClose}>
            Cancel
          </button>
          <span class="lloom-spring" />
          <button type="button" class="lloom-button" disabled={off || estimate === null} onClick={() => void merge(true)}>
            {estimate === null ? "Merge and score" : `Merge and score, ${price(estimate)}`}
          </button>
          <button
            type="button"
            class="lloom-button lloom-button--primary"
            disabled={off}
            onClick={() => void merge(false)}
          >
            {parts.length < 2 ? "Merge" : `Merge ${parts.length} concepts`}
          </button>
        </>
      }
    >
      <ConceptPicker concepts={listed} ticked={ticked} onTick={tick} told={told} label="Merge these" />
      <ConceptFields value={draft} onChange={setDraft} of="Merged concept" />
      {parts.length > 1 && (
        <div class="lloom-toolbar">
          <span class="lloom-note">Take the words of</span>
          {parts.map((part) => (
            <button
              key={part.id}
              type="button"
              class="lloom-button lloom-shorten"
              title={part.criteria}
              onClick={() => setDraft({ name: part.name, criteria: part.criteria })}
            >
              {part.name}
            </button>
          ))}
        </div>
      )}
      {problem !== null ? (
        <p class="lloom-problem">{problem}</p>
      ) : (
        <div class="lloom-consequence">
          <p>The merged concept has a criterion of its own and no scores yet. You can undo this.</p>
          <Cost estimating={estimating} verb="Score" />
        </div>
      )}
      <Notice asking={asking} />
    </Dialog>
  );
}


function rank(concept: Concept, ids: readonly string[]): number {
  const at = ids.indexOf(concept.id);
  return at < 0 ? 0 : ids.length - at;
}
