/** Concepts as rows of the overview and the matrix, with their counts, in the order asked for. */

import type { Concept } from "./protocol";
import { countOf } from "./scores";
import { OUTLIERS } from "./state";
import type { Store } from "./store";

export interface ConceptRow {
  /** A concept's id, or `"outliers"`. */
  id: string;
  name: string;
  criteria: string;
  /** Place in the tally, -1 for the outliers. */
  place: number;
  matches: number;
  scored: number;
}

export const OUTLIER_NAME = "Outliers";
export const OUTLIER_CRITERIA = "Documents that match none of the concepts.";

/** The scored concepts in order; the outliers last, unless they are not wanted. */
export function conceptRows(store: Store): ConceptRow[] {
  const { row_sort, threshold } = store.state.value;
  const tally = store.tally.value;
  const rows = store.scoredConcepts.value.map((concept) => rowOf(store, concept));
  const key = (row: ConceptRow): number => {
    if (row_sort.by === "codebook") return 0;
    const slice = row_sort.by === "slice" ? row_sort.slice : null;
    const { matches, scored } = slice === null ? row : countOf(tally, row.place, slice, threshold);
    return scored === 0 ? -1 : matches / scored;
  };
  const keys = new Map(rows.map((row) => [row, key(row)]));
  const sign = row_sort.descending ? -1 : 1;
  if (row_sort.by === "codebook") {
    if (row_sort.descending) rows.reverse();
  } else if (row_sort.by === "name") {
    rows.sort((a, b) => sign * a.name.localeCompare(b.name, undefined, { numeric: true }));
  } else {
    // Sorting is stable: equal ones stay in codebook order.
    rows.sort((a, b) => sign * ((keys.get(a) as number) - (keys.get(b) as number)));
  }
  if (rows.length > 0 && store.about.value.include_outliers !== false) rows.push(outlierRow(store));
  return rows;
}

/** The row of a concept or of the outliers, or null when it is neither, or has no scores. */
export function rowFor(store: Store, id: string | null): ConceptRow | null {
  if (id === null) return null;
  if (id === OUTLIERS) return outlierRow(store);
  const concept = store.conceptById.value.get(id);
  return concept === undefined || store.placeOf(id) === null ? null : rowOf(store, concept);
}

function rowOf(store: Store, concept: Concept): ConceptRow {
  const place = store.placeOf(concept.id) ?? 0;
  const { id, name, criteria } = concept;
  return { id, name, criteria, place, ...countOf(store.tally.value, place, null, store.state.value.threshold) };
}

function outlierRow(store: Store): ConceptRow {
  const counts = countOf(store.tally.value, -1, null, store.state.value.threshold);
  return { id: OUTLIERS, name: OUTLIER_NAME, criteria: OUTLIER_CRITERIA, place: -1, ...counts };
}
