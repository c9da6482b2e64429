/** The whole text of a document, and what is known of it. */

import type { ComponentProps } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { MarkedText } from "./MarkedText";
import { PaneMeta } from "./PaneMeta";
import { PaneScores } from "./PaneScores";

const LINE = 22;

export function PaneBody({ store, full, marked, ...judging }: ComponentProps<typeof PaneScores>) {
  const spans = full.scores.find(({ concept_id }) => concept_id === marked)?.spans ?? [];
  const text = useRef<HTMLParagraphElement>(null);
  // Of a long text, the passage that is looked for is in sight.
  useLayoutEffect(() => {
    const frame = text.current;
    const found = frame?.querySelector<HTMLElement>(".lloom-mark") ?? frame?.querySelector<HTMLElement>(".lloom-hit");
    if (frame == null || found == null) return;
    const from = found.getBoundingClientRect().top - frame.getBoundingClientRect().top;
    if (from < 0 || from > frame.clientHeight - LINE) frame.scrollTop += from - 3 * LINE;
  }, [marked, full]);
  return (
    <div class="lloom-pane-body">
      <p class="lloom-pane-text" dir="auto" ref={text} tabIndex={0}>
        <MarkedText text={full.text} spans={spans} hits={full.hits} />
      </p>
      {full.bullets.length > 0 && (
        <ul class="lloom-pane-bullets">
          {full.bullets.map((bullet, index) => (
            <li key={index}>{bullet}</li>
          ))}
        </ul>
      )}
      <PaneScores store={store} full={full} marked={marked} {...judging} />
      <PaneMeta store={store} meta={full.meta} />
    </div>
  );
}
