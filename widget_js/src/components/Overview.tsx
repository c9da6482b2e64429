/** Concepts by prevalence, the outliers last: each with a bar, its count and its share. */

import { useState } from "preact/hooks";
import { count, counted } from "../format";
import { type ConceptRow, conceptRows } from "../rows";
import type { Store } from "../store";
import { Empty } from "./Empty";
import { OverviewBar } from "./OverviewBar";
import { RowSortControl } from "./RowSortControl";
import { UnscoredRow } from "./UnscoredRow";

/** From this many concepts on they can be searched. */
const MANY = 12;

export function Overview({ store }: { store: Store }) {
  const [query, setQuery] = useState("");
  const rows = conceptRows(store);
  const { concept, slice } = store.state.value;
  const { n_docs } = store.about.value;
  const wanted = query.trim().toLowerCase();
  const isWanted = ({ name, criteria }: { name: string; criteria: string }): boolean =>
    `${name} ${criteria}`.toLowerCase().includes(wanted);
  const shown = rows.filter(isWanted);
  const unscored = store.concepts.value.filter((item) => store.placeOf(item.id) === null && isWanted(item));
  if (store.concepts.value.length === 0) {
    return (
      <Empty title="No concepts yet">
        Find concepts with <code>await l.gen()</code>, or add your own with <code>l.add(name, criteria)</code>.
      </Empty>
    );
  }
  const largest = Math.max(...rows.map(shareOf), 0);
  return (
    <section class="lloom-overview" aria-label="Concepts by prevalence">
      <div class="lloom-panel-head">
        <p class="lloom-note">
          {counted(store.concepts.value.length, "concept")} in {counted(n_docs, "document")}
        </p>
        <span class="lloom-spring" />
        <RowSortControl store={store} />
      </div>
      {store.concepts.value.length > MANY && (
        <input
          class="lloom-input lloom-find-concept"
          type="search"
          placeholder="Find a concept"
          aria-label="Find a concept"
          value={query}
          onInput={(event) => setQuery(event.currentTarget.value)}
        />
      )}
      <ul class="lloom-bars">
        <li>
          <button
            type="button"
            class="lloom-bar-row lloom-bar-all"
            aria-current={concept === null && slice === null}
            onClick={() => store.show(null)}
          >
            <span class="lloom-bar-name">All documents</span>
            <span class="lloom-bar-track" />
            <span class="lloom-bar-count">{count(n_docs)}</span>
            <span class="lloom-bar-share" />
          </button>
        </li>
        {shown.map((row) => (
          <OverviewBar
            key={row.id}
            row={row}
            largest={largest}
            current={concept === row.id}
            onOpen={() => store.show(row.id)}
          />
        ))}
        {unscored.map((item) => (
          <UnscoredRow key={item.id} concept={item} current={concept === item.id} onOpen={() => store.show(item.id)} />
        ))}
      </ul>
      {shown.length + unscored.length === 0 && wanted !== "" && <Empty title={`No concept has “${query.trim()}” in its name or criteria`} />}
      {rows.length === 0 && (
        <Empty title="Nothing is scored yet">
          {counted(store.concepts.value.length, "concept")} found. Score documents with <code>await l.score()</code> to see how
          common they are.
        </Empty>
      )}
    </section>
  );
}

function shareOf({ matches, scored }: ConceptRow): number {
  return scored === 0 ? 0 : matches / scored;
}

