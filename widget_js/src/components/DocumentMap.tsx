/** Documents in two dimensions: coloured, selected with a lasso, linked with all other filters. */

import { useMemo, useRef, useState } from "preact/hooks";
import { count, counted } from "../format";
import type { Store } from "../store";
import { colorChoices, useGrouping } from "../map-color";
import { useInks } from "../inks";
import { Empty } from "./Empty";
import { MapCanvas, type MapTool } from "./MapCanvas";
import { MapLegend } from "./MapLegend";

export function DocumentMap({ store }: { store: Store }) {
  const map = store.documents.map();
  const loaded = map.state.value;
  if (loaded.status === "loading") {
    return (
      <Empty title="Laying out the documents…">The first time this takes a moment; afterwards the map is kept.</Empty>
    );
  }
  if (loaded.status === "failed") {
    return (
      <Empty title={loaded.busy ? "The kernel is busy" : "The map cannot be shown"}>
        {!loaded.busy && <p>{loaded.message}</p>}
        <button type="button" class="lloom-button" onClick={map.load}>
          Retry
        </button>
      </Empty>
    );
  }
  const { places, reason } = loaded.value;
  if (places === null) return <Empty title="There is no map">{reason}</Empty>;
  return <Drawn store={store} places={places} />;
}

function Drawn({ store, places }: { store: Store; places: Float32Array }) {
  const section = useRef<HTMLElement>(null);
  const [tool, setTool] = useState<MapTool>("move");
  const [lit, setLit] = useState<number | null>(null);
  const inks = useInks(section);
  const state = store.state.value;
  const nDocs = store.about.value.n_docs;
  const grouping = useGrouping(store);
  const { rows } = store.documents.selection.value;
  const selected = useMemo(() => maskOf(rows, nDocs), [rows, nDocs]);
  // A group under the pointer in the legend stands out alone.
  const shown = useMemo(() => (lit === null ? selected : litMask(grouping.of, lit, selected)), [selected, grouping, lit]);
  const lassoed = state.lasso.length > 2;
  return (
    <section ref={section} class="lloom-map" aria-label="Map of the documents">
      <div class="lloom-toolbar">
        <label class="lloom-label lloom-map-color">
          Colour by
          <select class="lloom-choice" value={state.color} onChange={(event) => store.update({ color: event.currentTarget.value })}>
            {colorChoices(store).map(({ value, text }) => (
              <option key={value} value={value}>
                {text}
              </option>
            ))}
          </select>
        </label>
        <div class="lloom-segments" role="group" aria-label="Dragging">
          <button type="button" class="lloom-button" aria-pressed={tool === "move"} onClick={() => setTool("move")}>
            Move
          </button>
          <button type="button" class="lloom-button" aria-pressed={tool === "lasso"} onClick={() => setTool("lasso")}>
            Lasso
          </button>
        </div>
        <span class="lloom-spring" />
        <span class="lloom-note" role="status">
          {lassoed || rows.length < nDocs ? `${count(rows.length)} of ${counted(nDocs, "document")}` : counted(nDocs, "document")}
        </span>
        {lassoed && (
          <button type="button" class="lloom-button" onClick={() => store.update({ lasso: [] })}>
            Clear lasso
          </button>
        )}
      </div>
      {inks !== null && (
        <>
          <MapCanvas
            store={store}
            places={places}
            grouping={grouping}
            inks={inks}
            selected={shown}
            tool={tool}
            onLasso={(lasso) => {
              store.update({ lasso });
              setTool("move");
            }}
          />
          <MapLegend store={store} grouping={grouping} inks={inks} onLight={setLit} />
        </>
      )}
    </section>
  );
}

/** 1 for each of `rows`; null when these are all documents. */
function maskOf(rows: Uint32Array, nDocs: number): Uint8Array | null {
  if (rows.length === nDocs) return null;
  const mask = new Uint8Array(nDocs);
  for (const row of rows) mask[row] = 1;
  return mask;
}

function litMask(of: Uint8Array, lit: number, selected: Uint8Array | null): Uint8Array {
  return of.map((group, row) => (group === lit && (selected === null || selected[row] === 1) ? 1 : 0));
}
