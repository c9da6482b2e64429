/** Undo and redo, each naming what it will do. */

import { useAsking } from "../asking";
import type { Store } from "../store";
import { Action } from "./Action";
import { Notice } from "./Notice";

interface Props {
  store: Store;
  /** As signs alone; their names stand in the tip and are read aloud. */
  compact?: boolean;
}

const STEPS = [
  { action: "undo", name: "Undo", sign: "↶" },
  { action: "redo", name: "Redo", sign: "↷" },
] as const;

export function UndoBar({ store, compact = false }: Props) {
  const asking = useAsking();
  const history = store.history.value;
  if (history.undo === null && history.redo === null) return null;
  const go = (action: "undo" | "redo"): void => {
    // Pressed twice, it goes two steps, however late the first is answered.
    void asking.ask(() =>
      store.inTurn("history", async () => {
        if (store.history.value[action] !== null) await store.edit({ action });
      }),
    );
  };
  return (
    <div class="lloom-undo">
      <div class="lloom-toolbar" role="group" aria-label="Undo and redo">
        {STEPS.map(({ action, name, sign }) => {
          const what = history[action];
          const text = what === null ? name : `${name}: ${what}`;
          return (
            <Action
              key={action}
              class={`lloom-button ${compact ? "lloom-button--quiet" : "lloom-shorten"}`}
              off={what === null}
              title={what === null ? `Nothing to ${action}` : text}
              aria-label={text}
              onClick={() => go(action)}
            >
              <span aria-hidden="true">{sign}</span>
              {!compact && text}
            </Action>
          );
        })}
      </div>
      <Notice asking={asking} />
    </div>
  );
}
