/** The documents that pass: how many of how many, the filters, and the table. */

import type { RefObject } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { useAsking } from "../asking";
import { count } from "../format";
import { judge } from "../labelling";
import { isFiltered } from "../state";
import type { Store } from "../store";
import { ActiveFilters } from "./ActiveFilters";
import { DocumentSort } from "./DocumentSort";
import { DocumentTable } from "./DocumentTable";
import { DocumentsEmpty } from "./DocumentsEmpty";
import { ColumnChooser } from "./ColumnChooser";
import { FilterPanel } from "./FilterPanel";
import { LabelBar } from "./LabelBar";
import { LoadProblem } from "./LoadProblem";
import { SearchField } from "./SearchField";
import { Segments } from "./Segments";

const SHOWN = [
  { value: "matches", name: "Matches" },
  { value: "non-matches", name: "Non-matches" },
  { value: "all", name: "All" },
] as const;

export function Documents({ store, scroller }: { store: Store; scroller: RefObject<HTMLElement | null> }) {
  const head = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState<"filters" | "columns" | null>(null);
  const covered = useHeight(head);
  const state = store.state.value;
  const { pages, selection } = store.documents;
  const { rows, waiting } = selection.value;
  const { n_docs, sample } = store.about.value;
  const isConcept = state.concept !== null && store.conceptById.value.has(state.concept);
  const toggle = (panel: "filters" | "columns") => () => setOpen(open === panel ? null : panel);
  const failed = waiting.find((part) => part.state.value.status === "failed");
  const problem = failed?.state.value ?? null;
  const labelling = useAsking();
  // The score that keys judge is one that is listed: the list may have changed under the cursor.
  const at = store.documents.cursor.value;
  const row = at !== null && rows.includes(at) ? at : null;
  // The score whose note is being written: another document or concept has its field closed.
  const [noted, setNoted] = useState("");
  const judged = `${row} ${state.concept}`;
  const setNoting = (on: boolean): void => setNoted(on ? judged : "");
  const onJudge = (event: KeyboardEvent): boolean =>
    judge(event, { store, row, conceptId: state.concept, asking: labelling, note: () => setNoting(true) });
  useLayoutEffect(() => setOpen(null), [state.concept]);
  useLayoutEffect(() => {
    const frame = scroller.current;
    const section = head.current?.parentElement;
    // What was opened must be in sight, whatever stands above the documents.
    if (open !== null && frame !== null && section != null) frame.scrollTop = Math.max(frame.scrollTop, section.offsetTop);
  }, [open]);
  return (
    <section class="lloom-documents" aria-label="Documents">
      <div class="lloom-documents-head" ref={head}>
        <div class="lloom-toolbar">
          <h3 class="lloom-documents-title" aria-live="polite">
            <span class="lloom-number">{count(rows.length)}</span> of <span class="lloom-number">{count(n_docs)}</span> documents
            {waiting.length > 0 && problem?.status !== "failed" && <span class="lloom-note"> · looking …</span>}
          </h3>
          {isConcept && <Segments label="Which documents" choices={SHOWN} value={state.show} onChoose={(show) => store.update({ show })} />}
          <span class="lloom-spring" />
          <SearchField store={store} />
        </div>
        <div class="lloom-toolbar lloom-documents-tools">
          <button type="button" class="lloom-button" aria-expanded={open === "filters"} onClick={toggle("filters")}>
            Filter
          </button>
          <button type="button" class="lloom-button" aria-expanded={open === "columns"} onClick={toggle("columns")}>
            Columns
          </button>
          <DocumentSort store={store} />
          <span class="lloom-spring" />
          {(isFiltered(state) || state.slice !== null) && (
            <button type="button" class="lloom-button lloom-button--quiet" onClick={() => store.reset()}>
              Reset filters
            </button>
          )}
        </div>
        {open === "filters" && <FilterPanel store={store} />}
        {open === "columns" && <ColumnChooser store={store} />}
        <ActiveFilters store={store} />
        {isConcept && state.concept !== null && (
          <LabelBar store={store} row={row} conceptId={state.concept} asking={labelling} noting={noted === judged} onNoting={setNoting} />
        )}
        {sample !== null && (
          <p class="lloom-note">
            This page holds a sample: {count(sample.shown)} of {count(sample.of)} documents.
          </p>
        )}
        {problem?.status === "failed" && <LoadProblem problem={problem} onRetry={() => failed?.load()} />}
        {pages.problem.value !== null && <LoadProblem problem={pages.problem.value} onRetry={pages.retry} />}
      </div>
      {rows.length === 0 ? (
        <DocumentsEmpty store={store} />
      ) : (
        <DocumentTable store={store} scroller={scroller} covered={covered} onJudge={onJudge} />
      )}
    </section>
  );
}

/** The height of an element, kept up to date. */
function useHeight(ref: RefObject<HTMLElement | null>): number {
  const [height, setHeight] = useState(0);
  useLayoutEffect(() => {
    const element = ref.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => setHeight(element.offsetHeight));
    observer.observe(element);
    setHeight(element.offsetHeight);
    return () => observer.disconnect();
  }, []);
  return height;
}
