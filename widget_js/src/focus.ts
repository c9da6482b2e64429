/** Where the keyboard is, also inside a shadow root, into which some hosts put the view. */

import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

/** The focused element of the tree that `element` is in. */
export function focusedBeside(element: Element | null): HTMLElement | null {
  const tree = element?.getRootNode();
  const focused = tree instanceof Document || tree instanceof ShadowRoot ? tree.activeElement : null;
  return focused instanceof HTMLElement ? focused : null;
}

/** When the form that stood in `root` is gone, and the focus with it, focuses what opened it. */
export function useFocusBack(root: RefObject<HTMLElement | null>, open: boolean, opener: string): void {
  const before = useRef(false);
  useLayoutEffect(() => {
    const focused = focusedBeside(root.current);
    const lost = focused === null || focused === root.current?.ownerDocument.body;
    if (before.current && !open && lost) root.current?.querySelector<HTMLElement>(opener)?.focus({ preventScroll: true });
    before.current = open;
  }, [open]);
}
