/** The frame: theme, title, tabs, the panel of the open tab, and the reader beside it. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { keepFocus } from "../focus";
import type { Tab } from "../protocol";
import type { Store } from "../store";
import { followShade, type Shade } from "../theme";
import { DocumentMap } from "./DocumentMap";
import { ExportMenu } from "./ExportMenu";
import { HistoryList } from "./HistoryList";
import { Matrix } from "./Matrix";
import { Overlap } from "./Overlap";
import { Overview } from "./Overview";
import { Reader } from "./Reader";
import { ScoringProgress } from "./ScoringProgress";
import { SelectView } from "./SelectView";
import { Tabs } from "./Tabs";
import { UndoBar } from "./UndoBar";

/** Tabs that lead to documents have the reader beside them. */
const WITH_READER: readonly Tab[] = ["overview", "matrix", "map", "overlap"];

export function App({ store }: { store: Store }) {
  const root = useRef<HTMLDivElement>(null);
  const [shade, setShade] = useState<Shade>("light");
  const theme = store.theme.value;
  useLayoutEffect(() => (root.current === null ? undefined : followShade(root.current, theme, setShade)), [theme]);
  useLayoutEffect(() => (root.current === null ? undefined : keepFocus(root.current)), []);
  const { tab } = store.state.value;
  const reading = WITH_READER.includes(tab);
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
          {store.editable.value && tab !== "select" && tab !== "history" && <UndoBar store={store} compact />}
          <span class="lloom-unseen" role="status">
            {store.history.value.events.at(-1)?.text}
          </span>
          <ExportMenu store={store} />
        </div>
      </header>
      <ScoringProgress store={store} />
      <div class={`lloom-body${reading ? " lloom-body--reading" : ""} lloom-body--${tab}`}>
        <div id={`${store.id}-panel`} class="lloom-panel" role="tabpanel" tabIndex={-1} aria-labelledby={`${store.id}-${tab}`}>
          <Panel store={store} tab={tab} />
        </div>
        {reading && <Reader store={store} />}
      </div>
    </div>
  );
}

function Panel({ store, tab }: { store: Store; tab: Tab }) {
  switch (tab) {
    case "overview":
      return <Overview store={store} />;
    case "matrix":
      return <Matrix store={store} />;
    case "map":
      return <DocumentMap store={store} />;
    case "overlap":
      return <Overlap store={store} />;
    case "select":
      return <SelectView store={store} />;
    case "history":
      return <HistoryList store={store} />;
  }
}

/** Keys typed in the view are the view's: a notebook would take `x` for "cut this cell". */
function keepKeys(event: KeyboardEvent): void {
  if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
}
