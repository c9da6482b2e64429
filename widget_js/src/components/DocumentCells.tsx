/** What a row shows of its document: text with its marks, rationale, bullets, metadata. */

import { metaOf } from "../format";
import { snippetOf } from "../marks";
import type { PageRow } from "../protocol";
import type { Store } from "../store";
import { MarkedText } from "./MarkedText";

interface Props {
  store: Store;
  page: PageRow;
  columns: readonly string[];
  beside: number;
}

export function DocumentCells({ store, page, columns, beside }: Props) {
  const marks = store.about.value.show_highlights === false ? [] : page.spans;
  const { text, spans, hits } = snippetOf(page.text, marks, page.hits);
  return (
    <>
      <div role="gridcell" class="lloom-cell-text">
        <div class="lloom-row-text" dir="auto">
          <MarkedText text={text} spans={spans} hits={hits} />
        </div>
        {page.rationale !== "" && <div class="lloom-row-rationale">{page.rationale}</div>}
        <div class="lloom-row-foot">
          <span class="lloom-row-id">{page.id}</span>
          {page.verified === false && <span title="The model’s quote does not occur in this document">quote not found</span>}
          {page.bullets.map((bullet, index) => (
            <span key={index} class="lloom-bullet">
              {bullet}
            </span>
          ))}
          {columns.map((name, at) => (
            <span key={name} class={at < beside ? "lloom-row-meta" : undefined}>
              {name}: {metaOf(page.meta, name)}
            </span>
          ))}
        </div>
      </div>
      <div role="gridcell" class="lloom-cell-rationale">
        {page.rationale}
      </div>
      {columns.slice(0, beside).map((name) => (
        <div key={name} role="gridcell" class={`lloom-cell-meta${store.isNumber(name) ? " lloom-number" : ""}`} title={metaOf(page.meta, name)}>
          {metaOf(page.meta, name)}
        </div>
      ))}
    </>
  );
}
