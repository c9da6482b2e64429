/** A text with its highlights and hits marked: text nodes, whatever the text contains. */

import { piecesOf } from "../marks";
import type { Span } from "../protocol";

interface Props {
  text: string;
  spans?: readonly Span[];
  hits?: readonly Span[] | undefined;
}

export function MarkedText({ text, spans = [], hits = [] }: Props) {
  return (
    <>
      {piecesOf(text, spans, hits).map(({ text: part, marked, hit }, index) => {
        const inner = hit ? (
          <span key={index} class="lloom-hit">
            {part}
          </span>
        ) : (
          part
        );
        return marked ? (
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
