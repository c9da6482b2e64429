/** A score as a small disc: filled as far as the score goes, ringed when the document matches. */

interface Props {
  /** Null = not scored. */
  score: number | null;
  match: boolean;
}

const RADIUS = 3.5;
const ROUND = 2 * Math.PI * RADIUS;

export function ScoreDot({ score, match }: Props) {
  return (
    <svg class={`lloom-dot${match ? " lloom-dot--match" : ""}`} width={16} height={16} viewBox="0 0 16 16" aria-hidden="true">
      <circle class="lloom-dot-ring" cx={8} cy={8} r={7} stroke-dasharray={score === null ? "2 2" : undefined} />
      {score !== null && score > 0 && (
        <circle
          class="lloom-dot-fill"
          cx={8}
          cy={8}
          r={RADIUS}
          stroke-width={2 * RADIUS}
          stroke-dasharray={`${(score * ROUND).toFixed(2)} ${ROUND.toFixed(2)}`}
          transform="rotate(-90 8 8)"
        />
      )}
    </svg>
  );
}
