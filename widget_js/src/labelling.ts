/** Human labels: which key means what, and asking for a label. */

import type { Asking } from "./asking";
import type { Label, Verdict } from "./protocol";
import type { Store } from "./store";

export const VERDICTS: readonly { verdict: Verdict; name: string; key: string }[] = [
  { verdict: "right", name: "Right", key: "y" },
  { verdict: "wrong", name: "Wrong", key: "n" },
  { verdict: "unsure", name: "Unsure", key: "u" },
];

export type LabelKey = { verdict: Verdict } | { note: true };

/** What a key means in a list of documents, or null; keys typed into a field mean themselves. */
export function labelKeyOf(event: KeyboardEvent): LabelKey | null {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return null;
  const key = event.key.toLowerCase();
  if (key === "e") return { note: true };
  const found = VERDICTS.find((item) => item.key === key);
  return found === undefined ? null : { verdict: found.verdict };
}

/** A score that can be judged, and what a key on it does. */
export interface Judged {
  store: Store;
  row: number | null;
  conceptId: string | null;
  asking: Asking;
  /** Opens the field for a note. */
  note: () => void;
}

/** Follows a key that judges a score; true if it did. */
export function judge(event: KeyboardEvent, { store, row, conceptId, asking, note }: Judged): boolean {
  const key = labelKeyOf(event);
  if (key === null || row === null || conceptId === null) return false;
  if (!store.editable.value || !store.conceptById.value.has(conceptId)) return false;
  event.preventDefault();
  if ("note" in key) note();
  else void asking.ask(() => mark(store, row, conceptId, key.verdict));
  return true;
}

/** Whether keys are typed into a field there. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}

export function labelOf(labels: readonly Label[], row: number, conceptId: string): Label | null {
  return labels.find((label) => label.row === row && label.concept_id === conceptId) ?? null;
}

/** Sets a label; the same verdict again takes it away. The note stays with the label. */
export function mark(store: Store, row: number, conceptId: string, verdict: Verdict): Promise<void> {
  return change(store, row, conceptId, (known) =>
    known?.verdict === verdict ? { verdict: null, note: "" } : { verdict, note: known?.note ?? "" },
  );
}

/** Notes why; a note without a verdict is a label that says "unsure". */
export function annotate(store: Store, row: number, conceptId: string, note: string): Promise<void> {
  return change(store, row, conceptId, (known) => ({ verdict: known?.verdict ?? "unsure", note: note.trim() }));
}

/** Changes a label from what it is once the kernel has answered what was asked of it before. */
function change(
  store: Store,
  row: number,
  conceptId: string,
  next: (known: Label | null) => { verdict: Verdict | null; note: string },
): Promise<void> {
  return store.inTurn(`${row} ${conceptId}`, async () => {
    const known = labelOf(store.labels.value, row, conceptId);
    await store.edit({ action: "label", row, concept_id: conceptId, ...next(known) });
  });
}
