/** What is known of the chosen concept, and under it the documents: one column to read downwards. */

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Store } from "../store";
import { Detail } from "./Detail";
import { DocumentPane } from "./DocumentPane";
import { Documents } from "./Documents";

export function Reader({ store }: { store: Store }) {
  const scroller = useRef<HTMLDivElement>(null);
  const { concept, slice, document } = store.state.value;

  // A concept opens at what it is; a cell or a slice at its documents, and stays there while what stands above
  // them is still growing, until the reader moves.
  useLayoutEffect(() => {
    const frame = scroller.current;
    const detail = frame?.querySelector(".lloom-detail");
    const documents = frame?.querySelector<HTMLElement>(".lloom-documents");
    if (frame == null || detail == null || documents == null) return undefined;
    const place = (): void => {
      frame.scrollTop = slice === null ? 0 : documents.offsetTop;
    };
    place();
    if (slice === null) return undefined;
    const observer = new ResizeObserver(place);
    observer.observe(detail);
    const end = (): void => observer.disconnect();
    const moves = ["wheel", "pointerdown", "keydown"] as const;
    for (const move of moves) frame.addEventListener(move, end, { passive: true });
    return () => {
      end();
      for (const move of moves) frame.removeEventListener(move, end);
    };
  }, [concept, slice]);

  return (
    <div class="lloom-reader-frame">
      <div class="lloom-reader" ref={scroller} tabIndex={-1}>
        <Detail store={store} />
        <Documents store={store} scroller={scroller} />
      </div>
      {document !== null && <DocumentPane store={store} />}
    </div>
  );
}
