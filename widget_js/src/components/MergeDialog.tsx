/** Merging two or more concepts into one: which, under what name and criterion, and at what cost. */

import { useMemo, useState } from "preact/hooks";
import { counted } from "../format";
import { jaccard, overlapOf } from "../overlap";
import type { Concept, Draft } from "../protocol";
import type { Store } from "../store";
import { ChangeDialog } from "./ChangeDialog";
import { ConceptFields, lacking, trimmed } from "./ConceptFields";
import { ConceptPicker } from "./ConceptPicker";

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
  const parts = concepts.filter((concept) => ticked.has(concept.id));
  const problem = parts.length < 2 ? "Merging needs at least two concepts." : lacking(draft);
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
  return (
    <ChangeDialog
      store={store}
      title="Merge concepts"
      verb="Merge"
      act={parts.length < 2 ? "Merge" : `Merge ${parts.length} concepts`}
      drafts={[trimmed(draft)]}
      edit={() => ({ action: "merge", concept_ids: parts.map((part) => part.id), ...trimmed(draft) })}
      problem={problem}
      consequence="The merged concept has a criterion of its own and no scores yet. You can undo this."
      onClose={onClose}
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
    </ChangeDialog>
  );
}

function rank(concept: Concept, ids: readonly string[]): number {
  const at = ids.indexOf(concept.id);
  return at < 0 ? 0 : ids.length - at;
}
