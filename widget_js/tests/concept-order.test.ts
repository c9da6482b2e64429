import { expect, test } from "vitest";
import { findConcepts, sortConcepts } from "../src/concept-order";
import type { Concept } from "../src/protocol";

const concept = (name: string, rest: Partial<Concept> = {}): Concept => ({
  id: name, name, criteria: "", summary: "", seed: null, active: true, support: null, examples: [], scored: true, stale: false, merged_from: [], ...rest,
});
const concepts = [
  concept("Rent 10", { support: 3, criteria: "Does the text complain about rents?" }),
  concept("rent 9", { support: 8 }),
  concept("Ärzte", { summary: "Patients wait for months." }),
];
const names = (list: Concept[]): string[] => list.map(({ name }) => name);

test.each([
  ["complain rents", ["Rent 10"]],
  ["RENT", ["Rent 10", "rent 9"]],
  ["months wait", ["Ärzte"]],
  ["", ["Rent 10", "rent 9", "Ärzte"]],
  ["trains", []],
])("finding %j looks at every word, whatever its case", (query, found) => {
  expect(names(findConcepts(concepts, query))).toEqual(found);
});

test("sorting by name counts numbers as numbers; by support puts those without last", () => {
  expect(names(sortConcepts(concepts, "name", new Map()))).toEqual(["Ärzte", "rent 9", "Rent 10"]);
  expect(names(sortConcepts(concepts, "support", new Map()))).toEqual(["rent 9", "Rent 10", "Ärzte"]);
  expect(names(sortConcepts(concepts, "prevalence", new Map([["Ärzte", 2]])))).toEqual(["Ärzte", "Rent 10", "rent 9"]);
});
