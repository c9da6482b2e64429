/** The chosen pair of concepts: what each has alone, what both have, and merging them. */

import { useState } from "preact/hooks";
import { counted, percent } from "../format";
import { jaccard, type Overlap, type PairIds } from "../overlap";
import type { Store } from "../store";
import { MergeDialog } from "./MergeDialog";

interface Props {
  store: Store;
  overlap: Overlap;
  pair: PairIds;
}

export function OverlapPair({ store, overlap, pair }: Props) {
  const [merging, setMerging] = useState(false);
  const named = store.conceptById.value;
  const [first, second] = [named.get(pair.first), named.get(pair.second)];
  const [i, j] = [overlap.ids.indexOf(pair.first), overlap.ids.indexOf(pair.second)];
  if (first === undefined || second === undefined || i < 0 || j < 0) return null;
  const n = overlap.ids.length;
  const both = overlap.both[i * n + j] as number;
  const [inFirst, inSecond] = [overlap.own[i * n + j] as number, overlap.own[j * n + i] as number];
  return (
    <div class="lloom-pairbox" role="group" aria-label="Chosen pair">
      <p class="lloom-pairbox-both">
        <strong>{counted(both, "document")}</strong>
        {` in both, Jaccard ${jaccard(overlap, i, j).toFixed(2)}`}
      </p>
      <dl class="lloom-pairbox-sides">
        <dt title={first.criteria}>{first.name}</dt>
        <dd>{`${counted(inFirst, "match", "matches")}, ${percent(both, inFirst)} shared`}</dd>
        <dt title={second.criteria}>{second.name}</dt>
        <dd>{`${counted(inSecond, "match", "matches")}, ${percent(both, inSecond)} shared`}</dd>
      </dl>
      <div class="lloom-actions">
        {store.editable.value && (
          <button type="button" class="lloom-button" onClick={() => setMerging(true)}>
            Merge these two…
          </button>
        )}
        <button
          type="button"
          class="lloom-button lloom-button--quiet"
          onClick={() => store.update({ concept: null, also: [] })}
        >
          Clear
        </button>
      </div>
      {merging && <MergeDialog store={store} ids={[pair.first, pair.second]} onClose={() => setMerging(false)} />}
    </div>
  );
}
