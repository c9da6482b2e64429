/** Splitting a concept: a proposal from groups of its matches, to be changed before anything is done. */

import { useEffect, useState } from "preact/hooks";
import { useAsking } from "../asking";
import { counted } from "../format";
import type { Concept, PageRow, SplitPart } from "../protocol";
import type { Store } from "../store";
import { ChangeDialog } from "./ChangeDialog";
import { ConceptFields, lacking, trimmed } from "./ConceptFields";
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
  const drafts = (parts ?? []).map(trimmed);
  const problem =
    parts === null
      ? "Nothing is proposed yet."
      : parts.length < 2
        ? "A split needs at least two parts."
        : (drafts.map(lacking).find((lack) => lack !== null) ?? null);
  const put = (key: number, change: Partial<Part>): void =>
    setParts((parts ?? []).map((part) => (part.key === key ? { ...part, ...change } : part)));
  const add = (): void => {
    const key = Math.max(-1, ...(parts ?? []).map((part) => part.key)) + 1;
    setParts([...(parts ?? []), { key, name: "", criteria: "", rows: [], n: 0 }]);
  };
  return (
    <ChangeDialog
      store={store}
      title={`Split “${concept.name}”`}
      verb="Split"
      act={parts === null ? "Split" : `Split into ${parts.length}`}
      drafts={drafts}
      edit={() => ({
        action: "split",
        concept_id: concept.id,
        parts: drafts.map((draft, at) => ({ ...draft, rows: parts?.[at]?.rows ?? [] })),
      })}
      problem={problem}
      tell={parts !== null}
      scoring={`Score ${drafts.length} concepts on`}
      consequence="The parts replace this concept and have no scores yet. You can undo this."
      onClose={onClose}
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
    </ChangeDialog>
  );
}

function Sample({ text }: { text: string }) {
  return <p class="lloom-sample">{text}</p>;
}
