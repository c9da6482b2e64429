/** One document in the table. */

import { score as written } from "../format";
import { NOT_SCORED, type PageRow } from "../protocol";
import { codeOf } from "../scores";
import { OUTLIERS } from "../state";
import type { Store } from "../store";
import { DocumentCells } from "./DocumentCells";
import { LabelSign } from "./LabelSign";
import { ScoreDot } from "./ScoreDot";
import { Skeleton } from "./Skeleton";

interface Props {
  id: string;
  store: Store;
  row: number;
  position: number;
  top: number;
  page: PageRow | undefined;
  columns: readonly string[];
  /** How many of the columns stand beside the text; the others under it. */
  beside: number;
  current: boolean;
}

export function DocumentRow({ id, store, row, position, top, page, columns, beside, current }: Props) {
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
          <Skeleton lines={2} />
        </div>
      ) : (
        <DocumentCells store={store} page={page} columns={columns} beside={beside} />
      )}
    </div>
  );
}
