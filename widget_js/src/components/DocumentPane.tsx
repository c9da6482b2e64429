/** A whole document beside the list, with its score on every concept and what shows each. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { useAsking } from "../asking";
import { focusedBeside } from "../focus";
import { isTyping, judge } from "../labelling";
import type { Store } from "../store";
import { Action } from "./Action";
import { LoadProblem } from "./LoadProblem";
import { PaneBody } from "./PaneBody";
import { Skeleton } from "./Skeleton";

export function DocumentPane({ store }: { store: Store }) {
  const pane = useRef<HTMLElement>(null);
  const { open, selection, cursor } = store.documents;
  const loading = open.value;
  const state = loading?.state.value;
  const row = store.state.value.document;
  const { rows } = selection.value;
  const at = row === null ? -1 : rows.indexOf(row);
  const go = (position: number): void => {
    const next = rows[position];
    if (next === undefined) return;
    cursor.value = next;
    store.update({ document: next });
  };
  // The concept whose highlight is marked and whose score is judged: the one chosen here, else the state's.
  const [chosen, setChosen] = useState<string | null>(null);
  const marked = chosen ?? store.state.value.concept;
  const labelling = useAsking();
  const [noted, setNoted] = useState("");
  const judged = `${row} ${marked}`;
  const setNoting = (on: boolean): void => setNoted(on ? judged : "");
  useLayoutEffect(() => setChosen(null), [row, store.state.value.concept]);
  const close = (): void => store.update({ document: null });
  // Opened from the list or an example: focus goes with the eye, and back when it closes. Both at once, since
  // a key that comes before the next frame must find its place.
  useLayoutEffect(() => {
    // What another view or Python opened leaves the keys where they are.
    if (store.opened !== row) return undefined;
    const before = focusedBeside(pane.current);
    pane.current?.focus({ preventScroll: true });
    return () => {
      if (before?.isConnected === true) before.focus({ preventScroll: true });
    };
  }, []);
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "Escape") {
      event.preventDefault();
      close();
    } else if ((event.key === "j" || event.key === "k") && !isTyping(event.target) && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      go(at + (event.key === "j" ? 1 : -1));
    } else if (judge(event, { store, row, conceptId: marked, asking: labelling, note: () => setNoting(true) })) {
      event.preventDefault();
    }
  };
  return (
    <aside class="lloom-pane" ref={pane} tabIndex={-1} aria-label="Document" onKeyDown={onKeyDown}>
      <div class="lloom-pane-head">
        <Action class="lloom-button lloom-button--quiet" off={at <= 0} onClick={() => go(at - 1)} aria-label="Previous document" title="Previous (k)">
          ↑
        </Action>
        <Action class="lloom-button lloom-button--quiet" off={at < 0 || at >= rows.length - 1} onClick={() => go(at + 1)} aria-label="Next document" title="Next (j)">
          ↓
        </Action>
        <h3 class="lloom-pane-id">{state?.status === "ready" ? state.value.id : ""}</h3>
        <span class="lloom-spring" />
        <button type="button" class="lloom-button lloom-button--quiet" onClick={close} aria-label="Close the document" title="Close (Esc)">
          ×
        </button>
      </div>
      {state?.status === "failed" && <LoadProblem problem={state} onRetry={() => loading?.load()} />}
      {state?.status === "loading" && (
        <div class="lloom-pane-body" aria-busy="true">
          <Skeleton lines={3} />
        </div>
      )}
      {state?.status === "ready" && (
        <PaneBody
          key={state.value.row}
          store={store}
          full={state.value}
          marked={marked}
          onMark={setChosen}
          asking={labelling}
          noting={noted === judged}
          onNoting={setNoting}
        />
      )}
    </aside>
  );
}
