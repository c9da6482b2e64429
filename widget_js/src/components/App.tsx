/** The frame: theme, title, tabs, the panel of the open tab, and the reader beside it. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { keepFocus } from "../focus";
import type { Store } from "../store";
import { followShade, type Shade } from "../theme";
import { ExportMenu } from "./ExportMenu";
import { PANELS } from "./panels";
import { Reader } from "./Reader";
import { ScoringProgress } from "./ScoringProgress";
import { Tabs } from "./Tabs";
import { UndoBar } from "./UndoBar";

export function App({ store }: { store: Store }) {
  const root = useRef<HTMLDivElement>(null);
  const [shade, setShade] = useState<Shade>("light");
  const theme = store.theme.value;
  useLayoutEffect(() => (root.current === null ? undefined : followShade(root.current, theme, setShade)), [theme]);
  useLayoutEffect(() => (root.current === null ? undefined : keepFocus(root.current)), []);
  const { tab } = store.state.value;
  const { component: Panel, reader, undo } = PANELS[tab];
  return (
    <div
      ref={root}
      class={`lloom-root${theme === "auto" ? " lloom-hosted" : ""}`}
      data-shade={shade}
      data-lm-suppress-shortcuts="true"
      onKeyDown={keepKeys}
    >
      <header class="lloom-head">
        <h1 class="lloom-title" title={store.about.value.title}>
          {store.about.value.title || "Concepts"}
        </h1>
        <Tabs store={store} />
        <div class="lloom-tools">
          {store.editable.value && undo && <UndoBar store={store} compact />}
          <span class="lloom-unseen" role="status">
            {store.history.value.events.at(-1)?.text}
          </span>
          <ExportMenu store={store} />
        </div>
      </header>
      <ScoringProgress store={store} />
      <div class={`lloom-body${reader ? " lloom-body--reading" : ""} lloom-body--${tab}`}>
        <div id={`${store.id}-panel`} class="lloom-panel" role="tabpanel" tabIndex={-1} aria-labelledby={`${store.id}-${tab}`}>
          <Panel store={store} />
        </div>
        {reader && <Reader store={store} />}
      </div>
    </div>
  );
}

/** Keys typed in the view are the view's: a notebook would take `x` for "cut this cell". */
function keepKeys(event: KeyboardEvent): void {
  if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
}
