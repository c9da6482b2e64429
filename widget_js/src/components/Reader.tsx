/** What is known of the chosen concept, and under it the documents: one column to read downwards. */

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Store } from "../store";
import { Detail } from "./Detail";
import { DocumentPane } from "./DocumentPane";
import { Documents } from "./Documents";

export function Reader({ store }: { store: Store }) {
  const scroller = useRef<HTMLDivElement>(null);
  const { concept, slice, document } = store.state.value;

  // A concept opens at what it is; a cell or a slice at its documents.
  useLayoutEffect(() => {
    const frame = scroller.current;
    if (frame === null) return;
    const documents = frame.querySelector<HTMLElement>(".lloom-documents");
    frame.scrollTop = slice === null ? 0 : (documents?.offsetTop ?? 0);
  }, [concept, slice]);

  return (
    <div class="lloom-reader-frame">
      <div class="lloom-reader" ref={scroller}>
        <Detail store={store} />
        <Documents store={store} scroller={scroller} />
      </div>
      {document !== null && <DocumentPane store={store} />}
    </div>
  );
}
