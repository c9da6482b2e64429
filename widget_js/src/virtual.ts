/** TanStack Virtual for a list of rows of equal height, as a hook; of more rows than fit, it moves a window. */

import { elementScroll, observeElementOffset, observeElementRect, type VirtualItem, Virtualizer } from "@tanstack/virtual-core";
import { useLayoutEffect, useReducer, useRef, useState } from "preact/hooks";
import { type List, type Place, placeAt, placeOf, windowOf } from "./row-window";

interface Options {
  count: number;
  height: number;
  scroller: () => HTMLElement | null;
  /** Height of what stands above the list in the scroller. */
  margin: number;
  /** Height of what covers the top of the scroller. */
  covered: number;
}

export interface VirtualRows {
  items: Pick<VirtualItem, "index" | "start">[];
  total: number;
  scrollTo: (index: number) => void;
}

export function useVirtualRows({ count, height, scroller, margin, covered }: Options): VirtualRows {
  const [, redraw] = useReducer((n: number, _: undefined) => n + 1, 0);
  const shown = windowOf(count, height);
  const place = useRef<Place>({ base: 0, top: 0 });
  place.current.base = Math.min(place.current.base, count - shown);
  const now = useRef({ count, height, margin, covered });
  now.current = { count, height, margin, covered };

  const tell = useRef<((offset: number, isScrolling: boolean) => void) | null>(null);
  const listIn = (frame: HTMLElement): List => ({ count: now.current.count, height, room: frame.clientHeight });
  /** Puts the window where `next` says; rows that stay in sight stay where they are. */
  const move = (frame: HTMLElement, next: Place): void => {
    const changed = next.base !== place.current.base;
    place.current = next;
    // The rows that are drawn next are those of the new place: the scroll event comes a frame later.
    if (Math.abs(frame.scrollTop - now.current.margin - next.top) >= 1) frame.scrollTop = now.current.margin + next.top;
    tell.current?.(now.current.margin + next.top, false);
    if (changed) redraw(undefined);
  };
  const follow = (frame: HTMLElement, offset: number, isScrolling: boolean): void => {
    const { base, top: before } = place.current;
    const list = listIn(frame);
    const top = offset - now.current.margin;
    place.current = { base, top };
    const shownRows = windowOf(list.count, height);
    if (shownRows === list.count) return;
    // Far at once is a move of the scroll bar: it means a share of the whole. Small steps go row by row.
    if (Math.abs(top - before) > 2 * list.room) {
      const next = placeOf(top, list);
      place.current = { base: next.base, top };
      if (next.base !== base) redraw(undefined);
    } else if (!isScrolling || top <= 0 || top >= shownRows * height - list.room) {
      move(frame, placeAt(base * height + top, list));
    }
  };
  const options = {
    count: shown,
    estimateSize: () => height,
    getScrollElement: scroller,
    scrollMargin: margin,
    scrollPaddingStart: covered,
    overscan: 4,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset: ((instance, onOffset) => {
      tell.current = onOffset;
      return observeElementOffset(instance, (offset, isScrolling) => {
        onOffset(offset, isScrolling);
        if (instance.scrollElement !== null) follow(instance.scrollElement, offset, isScrolling);
      });
    }) as typeof observeElementOffset<HTMLElement>,
    onChange: () => redraw(undefined),
  };
  const [virtualizer] = useState(() => new Virtualizer<HTMLElement, HTMLElement>(options));
  virtualizer.setOptions(options);
  useLayoutEffect(() => virtualizer._didMount(), []);
  useLayoutEffect(() => virtualizer._willUpdate());
  const { base } = place.current;
  return {
    items: virtualizer.getVirtualItems().map(({ index, start }) => ({ index: base + index, start })),
    total: virtualizer.getTotalSize(),
    scrollTo: (index) => {
      const frame = scroller();
      if (frame === null) return;
      const list = listIn(frame);
      // What was scrolled may not have been told yet.
      const from = place.current.base * height + frame.scrollTop - now.current.margin;
      const [above, below] = [index * height - now.current.covered, (index + 1) * height - list.room];
      if (above < from) move(frame, placeAt(above, list));
      else if (below > from) move(frame, placeAt(below, list));
    },
  };
}
