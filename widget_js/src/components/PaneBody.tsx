/** The whole text of a document, and what is known of it. */

import type { ComponentProps } from "preact";
import { MarkedText } from "./MarkedText";
import { PaneMeta } from "./PaneMeta";
import { PaneScores } from "./PaneScores";

export function PaneBody({ store, full, marked, ...judging }: ComponentProps<typeof PaneScores>) {
  const spans = full.scores.find(({ concept_id }) => concept_id === marked)?.spans ?? [];
  return (
    <div class="lloom-pane-body">
      <p class="lloom-pane-text" dir="auto">
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
