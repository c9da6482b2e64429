/** Pointer and wheel on the map: pan, pinch, zoom, draw a lasso, hover, click. */

import { focusedBeside } from "./focus";
import type { Point } from "./lasso";
import { pan, toPlace, type Viewport, zoom } from "./viewport";

export interface MapHands {
  view(): Viewport;
  home(): Viewport;
  show(view: Viewport): void;
  /** Whether dragging draws a lasso rather than moves the map. */
  lassoing(): boolean;
  /** The lasso as drawn so far, in the map's coordinates. */
  draw(polygon: Point[]): void;
  finish(polygon: Point[]): void;
  hover(at: Point | null): void;
  click(at: Point): void;
}

/** A press that moves less than this, in pixels, is a click. */
const CLICK_PX = 4;

/** Listens on `element`; returns the function that ends it. */
export function followHands(element: HTMLElement, hands: MapHands): () => void {
  const pointers = new Map<number, Point>();
  let polygon: Point[] | null = null;
  let travelled = 0;
  const at = (event: MouseEvent): Point => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const press = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    travelled = pointers.size > 1 ? Infinity : 0;
    polygon = null;
    // Shift draws a lasso whatever the tool, as in other plots.
    if (pointers.size === 1 && (hands.lassoing() || event.shiftKey)) polygon = [toPlace(hands.view(), ...at(event))];
  };
  const move = (event: PointerEvent): void => {
    const before = pointers.get(event.pointerId);
    const now = at(event);
    if (before === undefined) {
      hands.hover(now);
      return;
    }
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
    travelled += Math.hypot(dx, dy);
    if (pointers.size === 2) pinch(event.pointerId, before, now);
    else if (polygon !== null) {
      polygon.push(toPlace(hands.view(), ...now));
      hands.draw(polygon);
    } else if (travelled >= CLICK_PX) hands.show(pan(hands.view(), dx, dy));
    pointers.set(event.pointerId, now);
    if (travelled >= CLICK_PX) hands.hover(null);
  };
  const pinch = (id: number, before: Point, now: Point): void => {
    const [, other] = [...pointers].find(([key]) => key !== id) as [number, Point];
    const gap = (point: Point): number => Math.hypot(point[0] - other[0], point[1] - other[1]);
    const middle: Point = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
    const moved = pan(hands.view(), (now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    hands.show(zoom(moved, gap(now) / Math.max(gap(before), 1), ...middle, hands.home()));
  };
  const release = (event: PointerEvent): void => {
    if (!pointers.delete(event.pointerId)) return;
    const drawn = polygon;
    polygon = null;
    if (event.type === "pointercancel") hands.draw([]);
    else if (travelled < CLICK_PX) {
      hands.draw([]);
      hands.click(at(event));
    } else if (drawn !== null) hands.finish(drawn);
  };
  const leave = (): void => hands.hover(null);
  const wheel = (event: WheelEvent): void => {
    // A notebook scrolls with the wheel: the map takes it only once it was clicked, or with Ctrl (also a pinch).
    if (!event.ctrlKey && !event.metaKey && focusedBeside(element) !== element) return;
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1);
    hands.show(zoom(hands.view(), 2 ** (-pixels / (event.ctrlKey ? 90 : 280)), ...at(event), hands.home()));
  };
  element.addEventListener("pointerdown", press);
  element.addEventListener("pointermove", move);
  element.addEventListener("pointerup", release);
  element.addEventListener("pointercancel", release);
  element.addEventListener("pointerleave", leave);
  element.addEventListener("wheel", wheel, { passive: false });
  return () => {
    element.removeEventListener("pointerdown", press);
    element.removeEventListener("pointermove", move);
    element.removeEventListener("pointerup", release);
    element.removeEventListener("pointercancel", release);
    element.removeEventListener("pointerleave", leave);
    element.removeEventListener("wheel", wheel);
  };
}
