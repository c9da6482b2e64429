/** Which concepts share documents: a grid of all pairs, the pairs most alike, and the chosen pair. */

import { useMemo, useState } from "preact/hooks";
import { counted, percent } from "../format";
import { alikePairs, overlapOf, type PairIds } from "../overlap";
import type { Store } from "../store";
import { Empty } from "./Empty";
import { OverlapGrid } from "./OverlapGrid";
import { OverlapPair } from "./OverlapPair";

const SHOWN_PAIRS = 12;

export function Overlap({ store }: { store: Store }) {
  const { threshold, concept, also } = store.state.value;
  const scores = store.scores.value;
  const overlap = useMemo(() => overlapOf(scores, threshold), [scores, threshold]);
  const pairs = useMemo(() => alikePairs(overlap, SHOWN_PAIRS), [overlap]);
  const chosen: PairIds | null = concept !== null && also.length === 1 ? { first: concept, second: also[0] as string } : null;
  const [listed, setListed] = useState(false);
  const named = store.conceptById.value;
  const nameOf = (at: number): string => named.get(overlap.ids[at] ?? "")?.name ?? "";
  if (overlap.ids.length < 2) {
    return <Empty title="Nothing to compare yet">Overlap shows which of two or more scored concepts share documents.</Empty>;
  }
  const choose = (first: number, second: number): void =>
    store.update({ concept: overlap.ids[first] ?? null, also: [overlap.ids[second] as string], show: "matches", document: null });
  return (
    <section class="lloom-overlap" aria-label="Overlap of concepts">
      <p class="lloom-note">
        {`Documents that match both concepts (score ≥ ${threshold}). Colour: the share of the documents matching either (Jaccard index).`}
      </p>
      {chosen !== null && <OverlapPair store={store} overlap={overlap} pair={chosen} />}
      <OverlapGrid overlap={overlap} nameOf={nameOf} chosen={chosen} onChoose={choose} />
      <h3 class="lloom-heading">Most alike</h3>
      {pairs.length === 0 ? (
        <p class="lloom-note">No two concepts share a document at this threshold.</p>
      ) : (
        <ol class="lloom-pairs">
          {pairs.slice(0, listed ? SHOWN_PAIRS : 5).map((pair) => (
            <li key={`${pair.first} ${pair.second}`}>
              <button type="button" class="lloom-pair" onClick={() => choose(pair.first, pair.second)}>
                <span class="lloom-pair-names">{`${nameOf(pair.first)} + ${nameOf(pair.second)}`}</span>
                <span class="lloom-pair-bar" aria-hidden="true">
                  <span style={{ width: `${Math.max(1, pair.jaccard * 100)}%` }} />
                </span>
                <span class="lloom-pair-figures">{`${percent(pair.jaccard, 1)}, ${counted(pair.both, "document")}`}</span>
              </button>
            </li>
          ))}
        </ol>
      )}
      {pairs.length > 5 && (
        <button type="button" class="lloom-link" aria-expanded={listed} onClick={() => setListed(!listed)}>
          {listed ? "Show fewer" : `Show ${pairs.length} pairs`}
        </button>
      )}
    </section>
  );
}
