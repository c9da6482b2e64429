/** Is the score right? Three buttons and a note, for one document and one concept. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Asking } from "../asking";
import { focusedBeside, isFocusLost } from "../focus";
import { annotate, labelOf, mark, VERDICTS } from "../labelling";
import type { Store } from "../store";
import { Notice } from "./Notice";

interface Props {
  store: Store;
  row: number;
  conceptId: string;
  asking: Asking;
  /** Whether the field for a note is open. */
  noting: boolean;
  onNoting: (open: boolean) => void;
}

export function LabelControls({ store, row, conceptId, asking, noting: open, onNoting: setOpen }: Props) {
  const label = labelOf(store.labels.value, row, conceptId);
  const [note, setNote] = useState(label?.note ?? "");
  const field = useRef<HTMLInputElement>(null);
  // At once, so that what is typed after the key that opened the field goes into it; and back where it came from.
  useLayoutEffect(() => {
    if (!open) return undefined;
    const before = focusedBeside(field.current);
    field.current?.focus();
    return () => {
      if (before?.isConnected === true && isFocusLost(before)) before.focus({ preventScroll: true });
    };
  }, [open]);
  const kept = label?.note ?? "";
  // What is being written stays, whatever arrives meanwhile; so does what the kernel has not taken.
  const unsaved = useRef<{ score: string; note: string } | null>(null);
  const score = `${row} ${conceptId}`;
  useLayoutEffect(() => {
    if (!open) setNote(unsaved.current?.score === score ? unsaved.current.note : kept);
  }, [open, kept, score]);
  if (!store.editable.value) return label === null ? null : <Told verdict={label.verdict} note={label.note} />;
  const keep = (): void => {
    // Closed before the answer: the keys that follow are meant for the list. What fails can be tried again.
    const written = { score, note };
    unsaved.current = written;
    setOpen(false);
    void asking.ask(async () => {
      await annotate(store, row, conceptId, note);
      if (unsaved.current === written) unsaved.current = null;
    });
  };
  return (
    <div class="lloom-labels">
      <div class="lloom-labels-row" role="group" aria-label="Is this score right?">
        {VERDICTS.map(({ verdict, name, key }) => (
          <button
            key={verdict}
            type="button"
            class="lloom-verdict"
            data-verdict={verdict}
            aria-pressed={label?.verdict === verdict}
            aria-keyshortcuts={key}
            title={`${name} (${key})`}
            onClick={() => void asking.ask(() => mark(store, row, conceptId, verdict))}
          >
            {name}
          </button>
        ))}
        <button
          type="button"
          class="lloom-verdict"
          aria-expanded={open}
          aria-keyshortcuts="e"
          title="Note why (e)"
          onClick={() => setOpen(!open)}
        >
          {label !== null && label.note !== "" ? "Edit note" : "Note"}
        </button>
      </div>
      {!open && label !== null && label.note !== "" && <p class="lloom-labels-note">{label.note}</p>}
      {open && (
        <form
          class="lloom-labels-form"
          onSubmit={(event) => {
            event.preventDefault();
            keep();
          }}
        >
          <input
            ref={field}
            class="lloom-input"
            aria-label="Why"
            placeholder="Why?"
            value={note}
            onInput={(event) => setNote(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key !== "Escape") return;
              event.stopPropagation();
              setOpen(false);
            }}
          />
          <button type="submit" class="lloom-button">
            Keep
          </button>
        </form>
      )}
      <Notice asking={asking} />
    </div>
  );
}

function Told({ verdict, note }: { verdict: string; note: string }) {
  return (
    <p class="lloom-labels-note">
      <span class="lloom-verdict" data-verdict={verdict} aria-pressed="true">
        {VERDICTS.find((item) => item.verdict === verdict)?.name}
      </span>
      {note !== "" && ` ${note}`}
    </p>
  );
}
