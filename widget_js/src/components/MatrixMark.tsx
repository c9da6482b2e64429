/** What stands in a cell of the matrix: a circle whose area shows the value, or a shade with its figure. */

import { cellFigure, type MatrixCell, type MatrixRow, radiusOf } from "../matrix";
import type { Norm } from "../protocol";

export const SIDE = 36;
export const LONGEST_RADIUS = 16;

interface Props {
  cell: MatrixCell;
  row: MatrixRow;
  largest: number;
  norm: Norm;
  drawn: "circles" | "heat";
}

export function MatrixMark({ cell, row, largest, norm, drawn }: Props) {
  if (drawn === "heat") {
    const strength = largest === 0 ? 0 : (cell.value ?? 0) / largest;
    return (
      <span class="lloom-heat" style={{ "--lloom-strength": strength.toFixed(3) }}>
        {cellFigure(cell, norm, row)}
      </span>
    );
  }
  const radius = radiusOf(cell.value, largest, LONGEST_RADIUS);
  return (
    <svg class="lloom-circle" width={SIDE} height={SIDE} viewBox={`0 0 ${SIDE} ${SIDE}`} aria-hidden="true">
      {radius > 0 && <circle cx={SIDE / 2} cy={SIDE / 2} r={radius.toFixed(3)} />}
    </svg>
  );
}
