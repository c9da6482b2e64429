/** The scores of one document on every concept; choosing one marks its highlight in the text. */

import type { Asking } from "../asking";
import { score as written } from "../format";
import type { DocumentScore, FullDocument } from "../protocol";
import type { Store } from "../store";
import { LabelControls } from "./LabelControls";
import { LabelSign } from "./LabelSign";
import { ScoreDot } from "./ScoreDot";

interface Props {
  store: Store;
  full: FullDocument;
  /** The concept whose highlight is marked. */
  marked: string | null;
  onMark: (concept: string) => void;
  asking: Asking;
  /** Whether the field for a note on the marked concept is open. */
  noting: boolean;
  onNoting: (open: boolean) => void;
}

export function PaneScores({ store, full, marked, onMark, asking, noting, onNoting }: Props) {
  const { threshold, concept } = store.state.value;
  // The concept that is looked at comes first, then the others as far as they match.
  const order = (item: DocumentScore): number => (item.concept_id === concept ? 2 : (item.score ?? -1));
  const scores = [...full.scores].sort((a, b) => order(b) - order(a));
  if (scores.length === 0) return null;
  return (
    <section class="lloom-pane-scores" aria-label="Scores">
      <h4 class="lloom-caption">Scores</h4>
      <ul>
        {scores.map(({ concept_id, score, rationale, spans, verified }) => {
          const name = store.conceptById.value.get(concept_id)?.name ?? concept_id;
          const match = score !== null && score >= threshold;
          return (
            <li key={concept_id} class="lloom-pane-score">
              <button
                type="button"
                class="lloom-pane-concept"
                aria-pressed={marked === concept_id}
                aria-label={`${name}: ${score === null ? "not scored" : `score ${score}`}${spans.length > 0 ? ", mark its highlight" : ""}`}
                onClick={() => onMark(concept_id)}
              >
                <ScoreDot score={score} match={match} />
                <span class="lloom-pane-value">{written(score)}</span>
                <span class={match ? "lloom-pane-name lloom-pane-name--match" : "lloom-pane-name"}>{name}</span>
                <LabelSign store={store} row={full.row} conceptId={concept_id} />
              </button>
              {rationale !== "" && (
                <p class="lloom-note">
                  {rationale}
                  {!verified && score !== null && score > 0 && spans.length === 0 && " (its quote does not occur in the document)"}
                </p>
              )}
              {marked === concept_id && (
                <div class="lloom-pane-label">
                  <LabelControls store={store} row={full.row} conceptId={concept_id} asking={asking} noting={noting} onNoting={onNoting} />
                </div>
              )}
            </li>
          );
        })}
      </ul>
    </section>
  );
}
