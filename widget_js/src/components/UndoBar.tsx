/** Undo and redo, each naming what it will do. */

import { useAsking } from "../asking";
import type { Store } from "../store";
import { Notice } from "./Notice";

export function UndoBar({ store }: { store: Store }) {
  const asking = useAsking();
  const { undo, redo } = store.history.value;
  if (undo === null && redo === null) return null;
  const go = (action: "undo" | "redo"): void => {
    void asking.ask(async () => {
      await store.edit({ action });
    });
  };
  return (
    <div class="lloom-undo">
      <div class="lloom-toolbar" role="group" aria-label="Undo and redo">
        <button
          type="button"
          class="lloom-button lloom-shorten"
          disabled={undo === null || asking.waiting}
          title={undo ?? "Nothing to undo"}
          onClick={() => go("undo")}
        >
          <span aria-hidden="true">↶</span>
          {undo === null ? "Undo" : `Undo: ${undo}`}
        </button>
        <button
          type="button"
          class="lloom-button lloom-shorten"
          disabled={redo === null || asking.waiting}
          title={redo ?? "Nothing to redo"}
          onClick={() => go("redo")}
        >
          <span aria-hidden="true">↷</span>
          {redo === null ? "Redo" : `Redo: ${redo}`}
        </button>
      </div>
      <Notice asking={asking} />
    </div>
  );
}
