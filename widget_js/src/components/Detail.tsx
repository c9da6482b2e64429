/** A concept: what it means, how many documents show it, how scores and slices spread, and examples. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { useFocusBack } from "../focus";
import { count, counted, percent } from "../format";
import { rowFor } from "../rows";
import { countOf } from "../scores";
import { OUTLIERS } from "../state";
import type { Store } from "../store";
import { AllDocuments } from "./AllDocuments";
import { ConceptActions } from "./ConceptActions";
import { ConceptEditor } from "./ConceptEditor";
import { ConceptExamples } from "./ConceptExamples";
import { ScoreHistogram } from "./ScoreHistogram";
import { SliceBars } from "./SliceBars";
import { SliceNote } from "./SliceNote";

export function Detail({ store }: { store: Store }) {
  const { concept: id, slice, threshold } = store.state.value;
  const concept = id === null ? undefined : store.conceptById.value.get(id);
  const row = rowFor(store, id);
  const [editing, setEditing] = useState(false);
  const section = useRef<HTMLElement>(null);
  useLayoutEffect(() => setEditing(false), [id]);
  useFocusBack(section, editing, "[data-edit]");
  if (row === null && concept === undefined) return <AllDocuments store={store} />;
  const place = row?.place ?? 0;
  const { matches, scored } = row === null ? { matches: 0, scored: 0 } : countOf(store.tally.value, place, slice, threshold);
  return (
    <section class="lloom-detail" ref={section} aria-label="Concept">
      <div class="lloom-detail-head">
        <h2 class="lloom-detail-name">{concept?.name ?? row?.name}</h2>
        {concept?.stale === true && (
          <span class="lloom-badge" title="Its criteria changed after it was scored">
            needs scoring again
          </span>
        )}
        {concept !== undefined && store.editable.value && !editing && (
          <ConceptActions key={concept.id} store={store} concept={concept} onEdit={() => setEditing(true)} />
        )}
      </div>
      {concept !== undefined && editing ? (
        <ConceptEditor key={concept.id} store={store} concept={concept} onDone={() => setEditing(false)} />
      ) : (
        <p class="lloom-criteria">{concept?.criteria ?? row?.criteria}</p>
      )}
      {row === null ? (
        <p class="lloom-note">Not scored. Its documents can be listed once it has scores.</p>
      ) : (
        <>
          <p class="lloom-detail-count">
            <strong>{count(matches)}</strong> of {counted(scored, "scored document")}{" "}
            {matches === 1 ? "matches" : "match"}
            {id === OUTLIERS && " no concept"} <strong>{percent(matches, scored)}</strong>
            <SliceNote store={store} />
          </p>
          <div class="lloom-figures">
            <ScoreHistogram store={store} place={place} slice={slice} />
            <SliceBars store={store} row={row} />
          </div>
        </>
      )}
      {concept !== undefined && concept.summary !== "" && <p class="lloom-summary">{concept.summary}</p>}
      {concept !== undefined && concept.examples.length > 0 && <ConceptExamples store={store} concept={concept} />}
    </section>
  );
}
