/** The representative examples of a concept. */

import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { snippetOf } from "../marks";
import type { Concept } from "../protocol";
import type { Store } from "../store";
import { MarkedText } from "./MarkedText";
import { Skeleton } from "./Skeleton";

const FEW = 2;

export function ConceptExamples({ store, concept }: { store: Store; concept: Concept }) {
  const [all, setAll] = useState(false);
  const { pages } = store.documents;
  const lens = { concept: concept.id, query: "" };
  const version = pages.version.value;
  const examples = all ? concept.examples : concept.examples.slice(0, FEW);
  useEffect(() => pages.want("examples", examples, lens), [concept.id, all, version, examples.length]);
  useLayoutEffect(() => setAll(false), [concept.id]);
  const hidden = concept.examples.length - examples.length;
  return (
    <div class="lloom-examples">
      <h3 class="lloom-caption">Representative examples</h3>
      <ul>
        {examples.map((row) => {
          const page = pages.get(row, lens);
          const snippet = page === undefined ? null : snippetOf(page.text, page.spans);
          return (
            <li key={row}>
              <button type="button" class="lloom-example" onClick={() => store.update({ document: row })}>
                {snippet === null ? (
                  <span class="lloom-example-text">
                    <Skeleton lines={2} />
                  </span>
                ) : (
                  <span class="lloom-example-text">
                    <MarkedText text={snippet.text} spans={snippet.spans} />
                  </span>
                )}
              </button>
            </li>
          );
        })}
      </ul>
      {hidden > 0 && (
        <button type="button" class="lloom-button lloom-button--quiet" onClick={() => setAll(true)}>
          {hidden} more
        </button>
      )}
    </div>
  );
}
