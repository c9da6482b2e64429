/** Splitting a concept: a proposal from groups of its matches, to be changed before anything is done. */

import { useEffect, useState } from "preact/hooks";
import { useAsking } from "../asking";
import { useEstimate } from "../estimating";
import { counted } from "../format";
import { price } from "../money";
import type { Concept, PageRow, SplitPart } from "../protocol";
import { change } from "../scoring";
import type { Store } from "../store";
import { ConceptFields, lacking } from "./ConceptFields";
import { Cost } from "./Cost";
import { Dialog } from "./Dialog";
import { Notice } from "./Notice";

interface Props {
  store: Store;
  concept: Concept;
  onClose: () => void;
}

interface Part extends SplitPart {
  key: number;
}

export function SplitDialog({ store, concept, onClose }: Props) {
  const [parts, setParts] = useState<Part[] | null>(null);
  const [texts, setTexts] = useState<ReadonlyMap<number, PageRow>>(new Map());
  const proposing = useAsking();
  const asking = useAsking();
  useEffect(() => {
    void proposing.ask(async () => {
      const reply = await store.request("split", { concept_id: concept.id });
      setParts(reply.parts.map((part, key) => ({ ...part, key })));
      const rows = [...new Set(reply.parts.flatMap((part) => part.rows.slice(0, 2)))];
      if (rows.length === 0) return;
      const page = await store.request("rows", { rows, concept: concept.id });
      setTexts(new Map(page.rows.map((row) => [row.row, row])));
    });
  }, [concept.id]);
  const drafts = (parts ?? []).map(({ name, criteria }) => ({ name: name.trim(), criteria: criteria.trim() }));
  const problem =
    parts === null
      ? null
      : parts.length < 2
        ? "A split needs at least two parts."
        : (drafts.map(lacking).find((lack) => lack !== null) ?? null);
  const ready = parts !== null && problem === null;
  const estimating = useEstimate(store, [], ready ? drafts : []);
  const { estimate } = estimating;
  const put = (key: number, change: Partial<Part>): void =>
    setParts((parts ?? []).map((part) => (part.key === key ? { ...part, ...change } : part)));
  const add = (): void => {
    const key = Math.max(-1, ...(parts ?? []).map((part) => part.key)) + 1;
    setParts([...(parts ?? []), { key, name: "", criteria: "", rows: [], n: 0 }]);
  };
  const split = async (score: boolean): Promise<void> => {
    const edit = {
      action: "split" as const,
      concept_id: concept.id,
      parts: (parts ?? []).map(({ rows }, at) => ({ ...(drafts[at] as (typeof drafts)[number]), rows })),
    };
    const ended = await asking.ask(async () => {
      await change(store, [edit], score ? estimate : null);
    });
    if (ended) onClose();
  };
  const off = !ready || asking.waiting;
  return (
    <Dialog
      title={`Split “${concept.name}”`}
      onClose={onClose}
      actions={
        <>
          <button type="button" class="lloom-button lloom-button--quiet" onClick={onClose}>
            Cancel
          </button>
          <span class="lloom-spring" />
          <button type="button" class="lloom-button" disabled={off || estimate === null} onClick={() => void split(true)}>
            {estimate === null ? "Split and score" : `Split and score, ${price(estimate)}`}
          </button>
          <button type="button" class="lloom-button lloom-button--primary" disabled={off} onClick={() => void split(false)}>
            {parts === null ? "Split" : `Split into ${parts.length}`}
          </button>
        </>
      }
    >
      <p class="lloom-note">{concept.criteria}</p>
      {parts === null && proposing.problem === null && <p role="status">Looking for groups among its documents…</p>}
      <Notice asking={proposing} />
      {parts !== null && (
        <>
          <p>A proposal from groups of its documents. Change it as you like: nothing is done yet.</p>
          <ol class="lloom-parts">
            {parts.map((part, at) => (
              <li key={part.key} class="lloom-part">
                <div class="lloom-part-head">
                  <strong>{`Part ${at + 1}`}</strong>
                  <span class="lloom-note">{part.n > 0 ? counted(part.n, "document") : "no documents yet"}</span>
                  <span class="lloom-spring" />
                  <button
                    type="button"
                    class="lloom-button lloom-button--quiet"
                    aria-label={`Leave out part ${at + 1}`}
                    onClick={() => setParts(parts.filter(({ key }) => key !== part.key))}
                  >
                    Leave out
                  </button>
                </div>
                <ConceptFields value={part} of={`Part ${at + 1}`} onChange={(draft) => put(part.key, draft)} />
                {part.rows.slice(0, 2).map((row) => texts.has(row) && <Sample key={row} text={texts.get(row)?.text ?? ""} />)}
              </li>
            ))}
          </ol>
          <button type="button" class="lloom-button" onClick={add}>
            Add a part
          </button>
        </>
      )}
      {problem !== null && <p class="lloom-problem">{problem}</p>}
      {ready && (
        <div class="lloom-consequence">
          <p>The parts replace this concept and have no scores yet. You can undo this.</p>
          <Cost estimating={estimating} verb={`Score ${drafts.length} concepts on`} />
        </div>
      )}
      <Notice asking={asking} />
    </Dialog>
  );
}

function Sample({ text }: { text: string }) {
  return <p class="lloom-sample">{text}</p>;
}
