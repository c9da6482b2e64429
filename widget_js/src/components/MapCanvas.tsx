/** The drawn map: dots, lasso, the document under the pointer, zoom buttons, keys. */

import type KDBush from "kdbush";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { followHands } from "../gestures";
import type { Grouping } from "../grouping";
import { cssOf, type Inks } from "../inks";
import { type Point, simplify } from "../lasso";
import { placeLabels, spotsOf } from "../map-labels";
import { indexOf, nearest } from "../nearest";
import { counted } from "../format";
import { draw, radiusOf } from "../scatter";
import type { Store } from "../store";
import { corners, fit, pan, toScreen, type Viewport, zoom } from "../viewport";
import { MapTip } from "./MapTip";

export type MapTool = "move" | "lasso";

interface Props {
  store: Store;
  places: Float32Array;
  grouping: Grouping;
  inks: Inks;
  selected: Uint8Array | null;
  tool: MapTool;
  onLasso: (polygon: Point[]) => void;
}

const EMPTY: Viewport = { x: 0, y: 0, scale: 1, width: 0, height: 0 };
/** How near the pointer must be to a dot's middle, in pixels. */
const REACH_PX = 9;

export function MapCanvas({ store, places, grouping, inks, selected, tool, onLasso }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [view, setView] = useState<Viewport>(EMPTY);
  const [drawn, setDrawn] = useState<Point[]>([]);
  const [hovered, setHovered] = useState<number | null>(null);
  const home = useMemo(() => fit(places, size.width, size.height), [places, size]);
  const index = useMemo<KDBush>(() => indexOf(places), [places]);
  const spots = useMemo(() => spotsOf(grouping, places, home), [grouping, places, home]);
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const measure = (): void => setSize({ width: element.clientWidth, height: element.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    // A resize keeps what is in the middle and how far one has zoomed.
    setView((now) =>
      now.width === 0 ? home : { ...now, width: home.width, height: home.height, scale: (now.scale * home.width) / now.width },
    );
  }, [home]);
  const zoomed = home.scale > 0 ? view.scale / home.scale : 1;
  const radius = radiusOf(grouping.of.length, zoomed);
  useEffect(() => {
    const frame = requestAnimationFrame(() => {
      const density = Math.min(devicePixelRatio || 1, 2);
      const [width, height] = [Math.round(view.width * density), Math.round(view.height * density)];
      const context = canvas.current?.getContext("2d");
      if (canvas.current === null || context == null || width === 0 || height === 0) return;
      if (canvas.current.width !== width || canvas.current.height !== height) {
        [canvas.current.width, canvas.current.height] = [width, height];
      }
      const image = context.createImageData(width, height);
      const colors = grouping.groups.map(({ ink }) => inks.of(ink));
      draw(image.data, view, density, radius, { places, groups: grouping.of, colors, selected, faint: inks.faint, paper: inks.paper });
      context.putImageData(image, 0, 0);
    });
    return () => cancelAnimationFrame(frame);
  }, [view, places, grouping, inks, selected, radius]);
  // The listeners are set up once and read what is current.
  const now = useRef({ view, home, tool, selected, onLasso });
  now.current = { view, home, tool, selected, onLasso };
  const find = ([x, y]: Point): number | null => nearest(index, places, now.current.view, x, y, REACH_PX, now.current.selected);
  const show = (next: Viewport): void => {
    now.current.view = next;
    setView(next);
  };
  useEffect(() => {
    const element = canvas.current;
    if (element === null) return undefined;
    return followHands(element, {
      view: () => now.current.view,
      home: () => now.current.home,
      show,
      lassoing: () => now.current.tool === "lasso",
      draw: (polygon) => setDrawn([...polygon]),
      finish: (polygon) => {
        setDrawn([]);
        const outline = simplify(polygon, 1.5 / now.current.view.scale);
        if (outline.length > 2) now.current.onLasso(outline);
      },
      hover: (at) => setHovered(at === null ? null : find(at)),
      click: (at) => {
        const row = find(at);
        if (row !== null) store.update({ document: row });
      },
    });
  }, [index]);
  const middle: Point = [view.width / 2, view.height / 2];
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = 60;
    const moves: Record<string, () => Viewport> = {
      ArrowLeft: () => pan(view, step, 0),
      ArrowRight: () => pan(view, -step, 0),
      ArrowUp: () => pan(view, 0, step),
      ArrowDown: () => pan(view, 0, -step),
      "+": () => zoom(view, 1.5, ...middle, home),
      "=": () => zoom(view, 1.5, ...middle, home),
      "-": () => zoom(view, 1 / 1.5, ...middle, home),
      "0": () => home,
    };
    const next = moves[event.key];
    if (next === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    show(next());
  };
  const lasso = drawn.length > 0 ? drawn : store.state.value.lasso;
  const at = hovered === null ? null : toScreen(view, places[2 * hovered] as number, places[2 * hovered + 1] as number);
  const opened = store.state.value.document;
  const openAt = opened === null ? null : toScreen(view, places[2 * opened] as number, places[2 * opened + 1] as number);
  return (
    <div ref={box} class="lloom-map-box" data-tool={tool} data-over={hovered !== null}>
      <canvas
        ref={canvas}
        class="lloom-map-canvas"
        role="application"
        tabIndex={0}
        aria-label={`Map of ${counted(grouping.of.length, "document")}. Arrow keys move it, plus and minus zoom, 0 shows all.`}
        onKeyDown={onKeyDown}
      />
      <svg class="lloom-map-over" aria-hidden="true">
        {lasso.length > 1 && <polygon class="lloom-map-lasso" points={lasso.map(([x, y]) => toScreen(view, x, y).join()).join(" ")} />}
        {openAt !== null && !Number.isNaN(openAt[0]) && <circle class="lloom-map-open" cx={openAt[0]} cy={openAt[1]} r={radius + 4} />}
        {placeLabels(spots, grouping, view).map(({ group, text, left, top }) => (
          <text key={group} class="lloom-map-name" x={left} y={top}>
            {text}
          </text>
        ))}
        {at !== null && <circle class="lloom-map-ring" cx={at[0]} cy={at[1]} r={radius + 2.5} />}
      </svg>
      {hovered !== null && at !== null && (
        <MapTip
          store={store}
          row={hovered}
          group={grouping.groups[grouping.of[hovered] as number]?.name ?? ""}
          color={cssOf(inks.of(grouping.groups[grouping.of[hovered] as number]?.ink ?? { grey: 0.5 }))}
          at={at}
          view={view}
        />
      )}
      <div class="lloom-map-zoom" role="group" aria-label="Zoom">
        <button type="button" class="lloom-button" aria-label="Zoom in" title="Zoom in (+)" onClick={() => show(zoom(view, 1.6, ...middle, home))}>
          +
        </button>
        <button type="button" class="lloom-button" aria-label="Zoom out" title="Zoom out (−)" onClick={() => show(zoom(view, 1 / 1.6, ...middle, home))}>
          −
        </button>
        <button type="button" class="lloom-button" title="Show all documents (0)" onClick={() => show(home)}>
          All
        </button>
        <button type="button" class="lloom-button" title="Select the documents that are in sight" onClick={() => onLasso(corners(view))}>
          Select in sight
        </button>
      </div>
    </div>
  );
}
