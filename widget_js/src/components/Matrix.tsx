/** Concepts by slices: what is drawn, how it is normalised, and the table itself. */

import { matrixOf } from "../matrix";
import type { Store } from "../store";
import { Empty } from "./Empty";
import { MatrixLegend } from "./MatrixLegend";
import { MatrixTable } from "./MatrixTable";
import { RowSortControl } from "./RowSortControl";
import { Segments } from "./Segments";

const DRAWN = [
  { value: "circles", name: "Circles", title: "The area of a circle shows the value" },
  { value: "heat", name: "Heat map", title: "The shade of a cell shows the value" },
] as const;
const NORMS = [
  { value: "none", name: "Counts", title: "Documents that match" },
  { value: "slice", name: "% of slice", title: "Share of the slice's scored documents that match" },
  { value: "concept", name: "% of concept", title: "Share of the concept's matches that lie in each slice" },
] as const;

export function Matrix({ store }: { store: Store }) {
  const state = store.state.value;
  const slices = store.slices.value;
  if (store.scoredConcepts.value.length === 0) {
    return (
      <Empty title="Nothing is scored yet">
        Score documents with <code>await l.score()</code> to see concepts by slices.
      </Empty>
    );
  }
  if (slices === null || slices.labels.length === 0) {
    return (
      <Empty title="No slices">
        Name a column to compare groups of documents: <code>l.vis(slice_col="party")</code>.
      </Empty>
    );
  }
  const figures = matrixOf(store);
  return (
    <section class="lloom-matrix" aria-label={`Concepts by ${slices.column}`}>
      <div class="lloom-panel-head">
        <Segments label="Drawn as" choices={DRAWN} value={state.matrix} onChoose={(matrix) => store.update({ matrix })} />
        <Segments
          label="Normalised"
          choices={NORMS}
          value={state.norm ?? "none"}
          onChoose={(norm) => store.update({ norm: norm === "none" ? null : norm })}
        />
        <span class="lloom-spring" />
        <RowSortControl store={store} />
      </div>
      <MatrixTable store={store} figures={figures} column={slices.column} />
      <MatrixLegend figures={figures} norm={state.norm} drawn={state.matrix} />
    </section>
  );
}
