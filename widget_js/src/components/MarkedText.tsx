/** A text with its highlights and hits marked: text nodes, whatever the text contains. */

import { type Piece, piecesOf } from "../marks";
import type { Span } from "../protocol";

interface Props {
  text: string;
  spans?: readonly Span[];
  hits?: readonly Span[] | undefined;
}

export function MarkedText({ text, spans = [], hits = [] }: Props) {
  const runs: Piece[][] = [];
  for (const piece of piecesOf(text, spans, hits)) {
    const run = runs[runs.length - 1];
    // A highlight stays one mark where hits lie within it.
    if (run?.[0]?.marked === piece.marked) run.push(piece);
    else runs.push([piece]);
  }
  return (
    <>
      {runs.map((run, index) => {
        const inner = run.map((piece, at) =>
          piece.hit ? (
            <span key={at} class="lloom-hit">
              {piece.text}
            </span>
          ) : (
            piece.text
          ),
        );
        return run[0]?.marked ? (
          <mark key={index} class="lloom-mark">
            {inner}
          </mark>
        ) : (
          inner
        );
      })}
    </>
  );
}
