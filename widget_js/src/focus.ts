/** Where the keyboard is, also inside a shadow root, into which some hosts put the view. */

import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

/** The focused element of the tree that `element` is in. */
export function focusedBeside(element: Element | null): HTMLElement | null {
  const tree = element?.getRootNode();
  const focused = tree instanceof Document || tree instanceof ShadowRoot ? tree.activeElement : null;
  return focused instanceof HTMLElement ? focused : null;
}

/** Whether nothing beside `element` has the focus, as after what had it was removed. */
export function isFocusLost(element: Element | null): boolean {
  const focused = focusedBeside(element);
  return focused === null || focused === element?.ownerDocument.body;
}

/** When what has the focus is taken out of `root`, what stands around it gets it; returns the function that ends this. */
export function keepFocus(root: HTMLElement): () => void {
  let path: HTMLElement[] = [];
  const remember = (event: FocusEvent): void => {
    const around = event.composedPath().filter((part) => part instanceof HTMLElement && root.contains(part)) as HTMLElement[];
    path = around.filter((part, at) => at === 0 || part.hasAttribute("tabindex"));
  };
  const forget = ({ target }: FocusEvent): void => {
    // Of what is being removed, nothing is forgotten: it is gone a moment later.
    queueMicrotask(() => {
      if (target === path[0] && path[0]?.isConnected === true) path = [];
    });
  };
  const observer = new MutationObserver(() => {
    if (path.length === 0 || path[0]?.isConnected === true || !isFocusLost(root)) return;
    const heir = path.find((part) => part.isConnected) ?? root.querySelector<HTMLElement>("[role=tab][aria-selected=true]");
    heir?.focus({ preventScroll: true });
  });
  root.addEventListener("focusin", remember);
  root.addEventListener("focusout", forget);
  observer.observe(root, { childList: true, subtree: true });
  return () => {
    observer.disconnect();
    root.removeEventListener("focusin", remember);
    root.removeEventListener("focusout", forget);
  };
}

/** When the form that stood in `root` is gone, and the focus with it, focuses what opened it. */
export function useFocusBack(root: RefObject<HTMLElement | null>, open: boolean, opener: string): void {
  const before = useRef(false);
  useLayoutEffect(() => {
    if (before.current && !open && isFocusLost(root.current)) root.current?.querySelector<HTMLElement>(opener)?.focus({ preventScroll: true });
    before.current = open;
  }, [open]);
}
