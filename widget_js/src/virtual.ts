/** TanStack Virtual for a list of rows of equal height, as a hook. */

import { elementScroll, observeElementOffset, observeElementRect, type VirtualItem, Virtualizer } from "@tanstack/virtual-core";
import { useLayoutEffect, useReducer, useState } from "preact/hooks";

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
  items: VirtualItem[];
  total: number;
  scrollTo: (index: number) => void;
}

export function useVirtualRows({ count, height, scroller, margin, covered }: Options): VirtualRows {
  const [, redraw] = useReducer((n: number, _: undefined) => n + 1, 0);
  const options = {
    count,
    estimateSize: () => height,
    getScrollElement: scroller,
    scrollMargin: margin,
    scrollPaddingStart: covered,
    overscan: 4,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    onChange: () => redraw(undefined),
  };
  const [virtualizer] = useState(() => new Virtualizer<HTMLElement, HTMLElement>(options));
  virtualizer.setOptions(options);
  useLayoutEffect(() => virtualizer._didMount(), []);
  useLayoutEffect(() => virtualizer._willUpdate());
  return {
    items: virtualizer.getVirtualItems(),
    total: virtualizer.getTotalSize(),
    scrollTo: (index) => virtualizer.scrollToIndex(index, { align: "auto" }),
  };
}
