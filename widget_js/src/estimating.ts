/** The estimate for scoring some concepts, asked for when they stop changing. */

import { useEffect, useRef, useState } from "preact/hooks";
import { failure } from "./loading";
import type { Problem } from "./pages";
import type { Draft, Estimate } from "./protocol";
import type { Store } from "./store";

export interface Estimating {
  estimate: Estimate | null;
  problem: Problem | null;
  again(): void;
}

const PAUSE_MS = 350;

/** Estimates scoring `ids` and the drafts; nothing is asked while both are empty. */
export function useEstimate(store: Store, ids: readonly string[], drafts: readonly Draft[] = []): Estimating {
  const [made, setMade] = useState<{ question: string; estimate: Estimate } | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [tries, setTries] = useState(0);
  const asked = useRef(0);
  const question = JSON.stringify([ids, drafts]);
  // A score that arrives, or a change of a concept, makes another estimate.
  const concepts = store.concepts.value;
  const idle = store.progress.value === null;
  useEffect(() => {
    const turn = ++asked.current;
    setMade(null);
    setProblem(null);
    if (!idle || (ids.length === 0 && drafts.length === 0)) return undefined;
    const timer = setTimeout(() => {
      store
        .request("estimate", { concept_ids: [...ids], ...(drafts.length > 0 ? { drafts: [...drafts] } : {}) })
        .then((reply) => {
          if (turn === asked.current) setMade({ question, estimate: reply });
        })
        .catch((error: unknown) => {
          if (turn === asked.current) setProblem(failure(error));
        });
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [question, concepts, idle, tries]);
  // What was asked before this was typed prices something else.
  const estimate = made?.question === question ? made.estimate : null;
  return { estimate, problem, again: () => setTries((n) => n + 1) };
}
