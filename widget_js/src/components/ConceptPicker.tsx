/** A list of concepts to tick, with a search field; for choosing what to merge. */

import { useState } from "preact/hooks";
import { folded } from "../concept-order";
import type { Concept } from "../protocol";

interface Props {
  concepts: readonly Concept[];
  ticked: ReadonlySet<string>;
  onTick: (id: string, ticked: boolean) => void;
  /** What is told of a concept at the end of its line. */
  told: (concept: Concept) => string;
  label: string;
}

export function ConceptPicker({ concepts, ticked, onTick, told, label }: Props) {
  const [query, setQuery] = useState("");
  const wanted = folded(query);
  const shown = concepts.filter((c) => ticked.has(c.id) || folded(`${c.name} ${c.criteria}`).includes(wanted));
  return (
    <fieldset class="lloom-picker">
      <legend class="lloom-label">{label}</legend>
      {concepts.length > 8 && (
        <input
          type="search"
          class="lloom-input"
          placeholder="Find a concept"
          aria-label="Find a concept"
          value={query}
          onInput={(event) => setQuery(event.currentTarget.value)}
        />
      )}
      <ul class="lloom-picker-list">
        {shown.map((concept) => (
          <li key={concept.id}>
            <label class="lloom-tick" title={concept.criteria}>
              <input
                type="checkbox"
                checked={ticked.has(concept.id)}
                onChange={(event) => onTick(concept.id, event.currentTarget.checked)}
              />
              <span class="lloom-tick-name">{concept.name}</span>
              <span class="lloom-tick-told">{told(concept)}</span>
            </label>
          </li>
        ))}
      </ul>
      {shown.length === 0 && <p class="lloom-note">No concept has these words.</p>}
    </fieldset>
  );
}
