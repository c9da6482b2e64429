/** Requests that a component has under way: busy, failed with a way to ask again, or done. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { failure } from "./loading";
import type { Problem } from "./pages";

export interface Asking {
  waiting: boolean;
  problem: Problem | null;
  /** Runs `work`; true if it ended well. Its failure becomes `problem`. */
  ask(work: () => Promise<void>): Promise<boolean>;
  /** Runs again the work that failed. */
  again(): Promise<boolean>;
  dismiss(): void;
}

export function useAsking(): Asking {
  const [waiting, setWaiting] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const under = useRef(0);
  const failed = useRef<(() => Promise<void>) | null>(null);
  const alive = useRef(true);
  useEffect(() => {
    alive.current = true;
    return () => {
      alive.current = false;
    };
  }, []);
  const ask = useCallback(async (work: () => Promise<void>): Promise<boolean> => {
    under.current += 1;
    setWaiting(true);
    setProblem(null);
    try {
      await work();
      return true;
    } catch (error) {
      failed.current = work;
      if (alive.current) setProblem(failure(error));
      return false;
    } finally {
      under.current -= 1;
      if (alive.current) setWaiting(under.current > 0);
    }
  }, []);
  const again = useCallback(async () => (failed.current === null ? true : ask(failed.current)), [ask]);
  const dismiss = useCallback(() => setProblem(null), []);
  return { waiting, problem, ask, again, dismiss };
}
