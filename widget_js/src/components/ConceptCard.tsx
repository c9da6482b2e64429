/** One concept: whether it is selected, its criterion, figures, examples, and what can be done with it. */

import { useRef, useState } from "preact/hooks";
import type { Agreement } from "../agreement";
import { useFocusBack } from "../focus";
import { counted, percent } from "../format";
import type { Lens } from "../pages";
import type { Concept } from "../protocol";
import type { Store } from "../store";
import { AgreementNote } from "./AgreementNote";
import { ConceptActions } from "./ConceptActions";
import { ConceptEditor } from "./ConceptEditor";
import { Skeleton } from "./Skeleton";

interface Props {
  store: Store;
  concept: Concept;
  matches: number | null;
  agreement: Agreement | null;
  /** Whether the seeds of the concepts differ, so that one of them tells something. */
  showSeed: boolean;
  chosen: boolean;
  onChoose: (chosen: boolean) => void;
}

/** Examples shown on a card, and how: without highlights, so that one request brings those of all cards. */
export const SHOWN_EXAMPLES = 2;
export const PLAIN: Lens = { concept: null, query: "" };

export function ConceptCard({ store, concept, matches, agreement, showSeed, chosen, onChoose }: Props) {
  const [editing, setEditing] = useState(false);
  const card = useRef<HTMLLIElement>(null);
  const editable = store.editable.value;
  useFocusBack(card, editing, "[data-edit]");
  const { pages } = store.documents;
  void pages.version.value;
  // Their room is kept while they are on their way, not where they cannot come.
  const shown = concept.examples
    .slice(0, SHOWN_EXAMPLES)
    .map((row) => ({ row, text: pages.get(row, PLAIN)?.text }))
    .filter(({ text }) => text !== undefined || pages.problem.value === null);
  return (
    <li ref={card} class="lloom-card" data-concept={concept.id} data-chosen={editable && chosen}>
      {editing ? (
        <ConceptEditor store={store} concept={concept} onDone={() => setEditing(false)} />
      ) : (
        <>
          <h2 class="lloom-card-name">
            {editable ? (
              <label>
                <input
                  type="checkbox"
                  class="lloom-card-tick"
                  checked={chosen}
                  aria-label={`Select ${concept.name}`}
                  onChange={(event) => onChoose(event.currentTarget.checked)}
                />
                <span>{concept.name}</span>
              </label>
            ) : (
              concept.name
            )}
          </h2>
          <Figures store={store} concept={concept} matches={matches} showSeed={showSeed} />
          <p class="lloom-card-criteria">{concept.criteria}</p>
          {agreement !== null && <AgreementNote agreement={agreement} />}
          {shown.length > 0 && (
            <ul class="lloom-card-examples" aria-label="Examples">
              {shown.map(({ row, text }) => (
                <li key={row}>
                  <button type="button" class="lloom-sample" onClick={() => openDocument(store, concept, row)}>
                    {text ?? <Skeleton />}
                  </button>
                </li>
              ))}
            </ul>
          )}
          <div class="lloom-card-foot">
            <button type="button" class="lloom-link" onClick={() => openDocument(store, concept, null)}>
              Documents
            </button>
            <span class="lloom-spring" />
            {editable && <ConceptActions store={store} concept={concept} onEdit={() => setEditing(true)} />}
          </div>
        </>
      )}
    </li>
  );
}

function Figures({ store, concept, matches, showSeed }: Pick<Props, "store" | "concept" | "matches" | "showSeed">) {
  const nDocs = store.about.value.n_docs;
  const facts: string[] = [];
  if (matches !== null && nDocs > 0) facts.push(`${counted(matches, "match", "matches")} (${percent(matches, nDocs)})`);
  if (concept.support !== null && concept.support > 0) facts.push(`support: ${concept.support}`);
  if (concept.merged_from.length > 0) facts.push(`merged from ${concept.merged_from.length}`);
  if (showSeed && concept.seed !== null && concept.seed !== "") facts.push(`seed: ${concept.seed}`);
  return (
    <p class="lloom-card-figures">
      {concept.stale ? (
        <span class="lloom-badge">
          Criterion changed
        </span>
      ) : (
        !concept.scored && <span class="lloom-badge lloom-badge--quiet">Not scored</span>
      )}
      {facts.map((fact) => (
        <span key={fact}>{fact}</span>
      ))}
    </p>
  );
}

/** Shows the concept's documents, and one of them beside the list. */
function openDocument(store: Store, concept: Concept, row: number | null): void {
  store.show(concept.id);
  store.update({ tab: "overview", document: row });
}
