/** What the map can be coloured by, and the groups for the choice in the state. */

import { useMemo } from "preact/hooks";
import { byColumn, byScore, bySlice, byStrongest, type Grouping } from "./grouping";
import { codesOf, countOf } from "./scores";
import type { Store } from "./store";

export interface ColorChoice {
  value: string;
  text: string;
}

export function colorChoices(store: Store): ColorChoice[] {
  const choices: ColorChoice[] = [{ value: "concept", text: "Concept" }];
  const slices = store.slices.value;
  if (slices !== null) choices.push({ value: "slice", text: `Slice (${slices.column})` });
  for (const { name, kind } of store.about.value.columns) {
    if (kind !== "text" && name !== slices?.column) choices.push({ value: `column:${name}`, text: name });
  }
  return choices;
}

/** The groups of all documents; by concept where the state's choice cannot be had (yet). */
export function useGrouping(store: Store): Grouping {
  const state = store.state.value;
  const { color, concept, threshold } = state;
  const info = store.about.value.columns.find(({ name }) => color === `column:${name}`);
  const column = info === undefined || info.kind === "text" ? null : store.documents.column(info.name).value;
  const [slices, sliceCodes, scores, concepts] = [
    store.slices.value,
    store.sliceCodes.value,
    store.scores.value,
    store.concepts.value,
  ];
  // The state is made anew with each change of any part of it.
  const choice = JSON.stringify([color, concept, threshold, state.slices, state.columns]);
  return useMemo(() => {
    if (color === "slice" && slices !== null && sliceCodes !== null) return bySlice(sliceCodes, slices, state);
    const grouped = info !== undefined && column !== null ? byColumn(info, column, state) : null;
    if (grouped !== null) return grouped;
    const one = concept === null ? undefined : store.conceptById.peek().get(concept);
    const codes = one === undefined ? null : codesOf(scores, one.id);
    if (one !== undefined && codes !== null) return byScore(codes, one, threshold);
    const tally = store.tally.peek();
    const matches = scores.ids.map((_, place) => countOf(tally, place, null, threshold).matches);
    return byStrongest(scores, concepts, matches, state);
  }, [choice, slices, sliceCodes, scores, concepts, column]);
}
