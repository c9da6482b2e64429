/** What the circles or shades of the matrix stand for. */

import { count, percent } from "../format";
import { type MatrixFigures, radiusOf } from "../matrix";
import type { Norm } from "../protocol";
import { LONGEST_RADIUS } from "./MatrixMark";

interface Props {
  figures: MatrixFigures;
  norm: Norm;
  drawn: "circles" | "heat";
}

const MEASURES = {
  none: "documents that match",
  slice: "of the slice’s scored documents match",
  concept: "of the concept’s matches lie in the slice",
};

export function MatrixLegend({ figures: { largest }, norm, drawn }: Props) {
  if (largest === 0) return <p class="lloom-note lloom-legend">No document matches at this threshold.</p>;
  const steps = norm === null ? countSteps(largest) : [largest / 4, largest];
  const written = (value: number): string => (norm === null ? count(value) : percent(value, 1));
  return (
    <p class="lloom-note lloom-legend">
      {steps.map((value) => {
        const radius = radiusOf(value, largest, LONGEST_RADIUS);
        return (
          <span key={value} class="lloom-legend-step">
            {drawn === "circles" ? (
              <svg class="lloom-circle" width={2 * radius + 2} height={2 * radius + 2} aria-hidden="true">
                <circle cx={radius + 1} cy={radius + 1} r={radius} />
              </svg>
            ) : (
              <span class="lloom-legend-shade" style={{ "--lloom-strength": (value / largest).toFixed(3) }} />
            )}
            {written(value)}
          </span>
        );
      })}
      <span>{MEASURES[norm ?? "none"]}</span>
    </p>
  );
}

/** A small and a large count to show circles for. */
function countSteps(largest: number): number[] {
  const quarter = Math.max(1, Math.round(largest / 4));
  return quarter < largest ? [quarter, largest] : [largest];
}
