/** Finding and sorting concepts in a list. */

import type { Concept } from "./protocol";

export type ConceptOrder = "codebook" | "name" | "support" | "prevalence";

export const CONCEPT_ORDERS: Readonly<Record<ConceptOrder, string>> = {
  codebook: "Codebook order",
  name: "Name",
  support: "Support",
  prevalence: "Matches",
};

/** Text as it is compared: compatibility forms, case and white space do not matter. */
export function folded(text: string): string {
  return text.normalize("NFKC").toLowerCase().replace(/\s+/g, " ").trim();
}

/** Concepts whose name, criterion, summary or seed has every word of the query. */
export function findConcepts(concepts: readonly Concept[], query: string): Concept[] {
  const words = folded(query).split(" ").filter((word) => word !== "");
  return concepts.filter((concept) => {
    const text = folded([concept.name, concept.criteria, concept.summary, concept.seed ?? ""].join(" "));
    return words.every((word) => text.includes(word));
  });
}

/** Sorted anew; equal ones stay in codebook order, those without the figure come last. */
export function sortConcepts(
  concepts: readonly Concept[],
  order: ConceptOrder,
  matches: ReadonlyMap<string, number>,
): Concept[] {
  if (order === "codebook") return [...concepts];
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const figure = (c: Concept): number => (order === "support" ? (c.support ?? -1) : (matches.get(c.id) ?? -1));
  return [...concepts].sort((a, b) => (order === "name" ? collator.compare(a.name, b.name) : figure(b) - figure(a)));
}
