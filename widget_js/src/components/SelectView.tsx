/** The concepts as cards: find, sort, choose what is scored, and change them. */

import { useEffect, useMemo, useState } from "preact/hooks";
import { agreementOf } from "../agreement";
import { CONCEPT_ORDERS, type ConceptOrder, findConcepts, sortConcepts } from "../concept-order";
import { counted } from "../format";
import { countOf } from "../scores";
import type { Store } from "../store";
import { AddDialog } from "./AddDialog";
import { ConceptCard, PLAIN, SHOWN_EXAMPLES } from "./ConceptCard";
import { Empty } from "./Empty";
import { ScoreBar } from "./ScoreBar";
import { UndoBar } from "./UndoBar";

export function SelectView({ store }: { store: Store }) {
  const [query, setQuery] = useState("");
  const [order, setOrder] = useState<ConceptOrder>("codebook");
  const [adding, setAdding] = useState(false);
  const concepts = store.concepts.value;
  const { threshold } = store.state.value;
  const tally = store.tally.value;
  const editable = store.editable.value;
  const matches = useMemo(
    () =>
      new Map(
        store.scoredConcepts.value.map(({ id }) => [id, countOf(tally, store.placeOf(id) ?? -1, null, threshold).matches]),
      ),
    [tally, threshold, store.scoredConcepts.value],
  );
  const agreements = useMemo(() => agreementOf(store.labels.value), [store.labels.value]);
  const { pages } = store.documents;
  const version = pages.version.value;
  const examples = concepts.flatMap((concept) => concept.examples.slice(0, SHOWN_EXAMPLES));
  useEffect(() => pages.want("cards", examples, PLAIN), [examples.join(" "), version]);
  const sameSeed = concepts.every(({ seed }) => seed === concepts[0]?.seed);
  const shown = sortConcepts(findConcepts(concepts, query), order, matches);
  const chosen = new Set(store.chosen.value);
  const choose = (ids: readonly string[], on: boolean): void => {
    const next = new Set(chosen);
    for (const id of ids) {
      if (on) next.add(id);
      else next.delete(id);
    }
    store.choose(concepts.map(({ id }) => id).filter((id) => next.has(id)));
  };
  const shownIds = shown.map(({ id }) => id);
  const nChosen = concepts.filter(({ id }) => chosen.has(id)).length;
  return (
    <section class="lloom-select" aria-label="Concepts">
      <div class="lloom-select-tools">
        <div class="lloom-toolbar">
          <input
            type="search"
            class="lloom-input lloom-select-search"
            placeholder="Find a concept"
            aria-label="Find a concept by its name, criterion or summary"
            value={query}
            onInput={(event) => setQuery(event.currentTarget.value)}
          />
          <label class="lloom-label lloom-select-sort">
            Sort by
            <select
              class="lloom-choice"
              value={order}
              onChange={(event) => setOrder(event.currentTarget.value as ConceptOrder)}
            >
              {Object.entries(CONCEPT_ORDERS).map(([name, text]) => (
                <option key={name} value={name}>
                  {text}
                </option>
              ))}
            </select>
          </label>
          {editable && (
            <div class="lloom-together">
              <button type="button" class="lloom-button" disabled={shown.length === 0} onClick={() => choose(shownIds, true)}>
                {query.trim() === "" ? "Select all" : "Select shown"}
              </button>
              <button type="button" class="lloom-button" disabled={shown.length === 0} onClick={() => choose(shownIds, false)}>
                {query.trim() === "" ? "Select none" : "Deselect shown"}
              </button>
            </div>
          )}
          <span class="lloom-note" role="status">
            {editable
              ? `${nChosen} of ${counted(concepts.length, "concept")} selected`
              : query.trim() === ""
                ? counted(concepts.length, "concept")
                : `${shown.length} of ${counted(concepts.length, "concept")}`}
          </span>
          <span class="lloom-spring" />
          {editable && (
            <button type="button" class="lloom-button" onClick={() => setAdding(true)}>
              Add a concept
            </button>
          )}
        </div>
        {editable && <UndoBar store={store} />}
      </div>
      {concepts.length === 0 ? (
        <Empty title="No concepts yet">
          {editable ? "Find some with l.gen(), or add one of your own." : "This page was made before any were found."}
        </Empty>
      ) : shown.length === 0 ? (
        <Empty title="No concept has these words">
          <button type="button" class="lloom-button" onClick={() => setQuery("")}>
            Show all {concepts.length}
          </button>
        </Empty>
      ) : (
        <ul class="lloom-cards">
          {shown.map((concept) => (
            <ConceptCard
              key={concept.id}
              store={store}
              concept={concept}
              matches={matches.get(concept.id) ?? null}
              agreement={agreements.get(concept.id) ?? null}
              showSeed={!sameSeed}
              chosen={chosen.has(concept.id)}
              onChoose={(on) => choose([concept.id], on)}
            />
          ))}
        </ul>
      )}
      {editable && concepts.length > 0 && <ScoreBar store={store} />}
      {adding && <AddDialog store={store} onClose={() => setAdding(false)} />}
    </section>
  );
}
