/** What each tab shows. */

import type { ComponentType } from "preact";
import type { Tab } from "../protocol";
import type { Store } from "../store";
import { DocumentMap } from "./DocumentMap";
import { HistoryList } from "./HistoryList";
import { Matrix } from "./Matrix";
import { Overlap } from "./Overlap";
import { Overview } from "./Overview";
import { SelectView } from "./SelectView";

export interface Panel {
  /** The name of the tab. */
  title: string;
  component: ComponentType<{ store: Store }>;
  /** Whether documents stand beside it. */
  reader: boolean;
  /** Whether undo and redo stand above it; the others have their own. */
  undo: boolean;
}

export const PANELS: Record<Tab, Panel> = {
  overview: { title: "Overview", component: Overview, reader: true, undo: true },
  matrix: { title: "Matrix", component: Matrix, reader: true, undo: true },
  map: { title: "Map", component: DocumentMap, reader: true, undo: true },
  overlap: { title: "Overlap", component: Overlap, reader: true, undo: true },
  select: { title: "Select", component: SelectView, reader: false, undo: false },
  history: { title: "History", component: HistoryList, reader: false, undo: false },
};
