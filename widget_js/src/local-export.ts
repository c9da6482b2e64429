/** Files and code that a standalone page gives out without a kernel. */

import type { Concept, Span, ViewState } from "./protocol";
import { writeState } from "./state";

/** A document as it is written out. */
export interface OutDocument {
  id: string;
  text: string;
  meta: [string, string][];
  /** Per scored concept, null = not scored. */
  scores: (number | null)[];
  rationales: string[];
  spans: Span[][];
}

/** One row per document: id, text, metadata, then a column per concept; names that are taken get underscores. */
export function csvOf(documents: readonly OutDocument[], concepts: readonly Concept[], idCol: string, textCol: string): string {
  const names: string[] = [];
  const add = (name: string): void => {
    let free = name;
    while (names.includes(free)) free += "_";
    names.push(free);
  };
  for (const name of [idCol || "id", textCol || "text", ...(documents[0]?.meta ?? []).map(([key]) => key)]) add(name);
  for (const { name } of concepts) add(name);
  const lines = documents.map(({ id, text, meta, scores }) => [
    id,
    text,
    ...meta.map(([, value]) => value),
    ...scores.map((score) => (score === null ? "" : String(score))),
  ]);
  return [names, ...lines].map((cells) => `${cells.map(cell).join(",")}\r\n`).join("");
}

export function jsonOf(documents: readonly OutDocument[], concepts: readonly Concept[]): string {
  return JSON.stringify(
    {
      concepts: concepts.map(({ id, name, criteria, summary }) => ({ id, name, criteria, summary })),
      documents: documents.map(({ id, text, meta, scores, rationales, spans }) => ({
        id,
        text,
        metadata: Object.fromEntries(meta),
        scores: concepts.flatMap((concept, at) => {
          const score = scores[at] ?? null;
          const highlight = (spans[at] ?? []).map(([start, end]) => text.slice(start, end)).join(" … ");
          return score === null ? [] : [{ concept_id: concept.id, score, rationale: rationales[at] ?? "", highlight }];
        }),
      })),
    },
    null,
    1,
  );
}

/** Code that sets the same state in a notebook and gets the same selection. */
export function pythonOf(state: ViewState): string {
  const { document: _, ...kept } = writeState(state);
  const lines = Object.entries(kept).map(([name, value]) => `    ${JSON.stringify(name)}: ${literal(value)},`);
  const set = lines.length === 0 ? [] : ["view.state = {", ...lines, "}"];
  return ["view = l.vis()", ...set, "view.selected()", ""].join("\n");
}

/** A JSON value as Python writes it. JSON strings are Python strings, too. */
function literal(value: unknown): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value as object).map(([key, item]) => `${JSON.stringify(key)}: ${literal(item)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}

/** A cell, quoted where it must be; one that a spreadsheet would run as a formula gets an apostrophe. */
function cell(text: string): string {
  const tame = /^[=+\-@\t\r]/.test(text) && !/^-?\d+(\.\d+)?$/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(tame) ? `"${tame.replaceAll('"', '""')}"` : tame;
}

