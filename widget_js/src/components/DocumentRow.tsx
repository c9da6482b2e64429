/** One document in the table. */

import { metaOf, score as written } from "../format";
import { snippetOf } from "../marks";
import { NOT_SCORED, type PageRow } from "../protocol";
import { codeOf } from "../scores";
import { OUTLIERS } from "../state";
import type { Store } from "../store";
import { LabelSign } from "./LabelSign";
import { MarkedText } from "./MarkedText";
import { ScoreDot } from "./ScoreDot";

interface Props {
  id: string;
  store: Store;
  row: number;
  position: number;
  top: number;
  page: PageRow | undefined;
  columns: readonly string[];
  current: boolean;
}

export function DocumentRow({ id, store, row, position, top, page, columns, current }: Props) {
  const { concept, threshold, document } = store.state.value;
  const code = concept === null || concept === OUTLIERS ? undefined : store.codes(concept)?.[row];
  const score = code === undefined || code === NOT_SCORED ? null : code / 4;
  const open = (): void => {
    // A click that ends a selection of text is no wish to open the document.
    if (getSelection()?.isCollapsed === false) return;
    store.documents.cursor.value = row;
    store.update({ document: row });
  };
  return (
    <div
      id={id}
      class={`lloom-row${current ? " lloom-row--current" : ""}${document === row ? " lloom-row--open" : ""}`}
      role="row"
      aria-rowindex={position + 2}
      aria-selected={current}
      data-row={row}
      style={{ transform: `translateY(${top}px)` }}
      onClick={open}
    >
      <div role="gridcell" class="lloom-cell-score">
        {concept !== null && concept !== OUTLIERS && (
          <>
            <ScoreDot score={score} match={code !== undefined && code !== NOT_SCORED && code >= codeOf(threshold)} />
            <span>{written(score)}</span>
            <LabelSign store={store} row={row} conceptId={concept} />
          </>
        )}
      </div>
      {page === undefined ? (
        <div role="gridcell" class="lloom-cell-text" aria-busy="true">
          <span class="lloom-skeleton" />
          <span class="lloom-skeleton" />
          <span class="lloom-unseen">Loading</span>
        </div>
      ) : (
        <PageCells store={store} page={page} columns={columns} />
      )}
    </div>
  );
}

function PageCells({ store, page, columns }: { store: Store; page: PageRow; columns: readonly string[] }) {
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
          {columns.map((name) => (
            <span key={name} class="lloom-row-meta">
              {name}: {metaOf(page.meta, name)}
            </span>
          ))}
        </div>
      </div>
      <div role="gridcell" class="lloom-cell-rationale">
        {page.rationale}
      </div>
      {columns.map((name) => (
        <div key={name} role="gridcell" class={`lloom-cell-meta${store.isNumber(name) ? " lloom-number" : ""}`} title={metaOf(page.meta, name)}>
          {metaOf(page.meta, name)}
        </div>
      ))}
    </>
  );
}
