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

const FOCUSABLE = 'button:not([tabindex="-1"]), input, select, textarea, [tabindex="0"]';

/** When what has the focus is taken out of `root`, its neighbour gets it; returns the function that ends this. */
export function keepFocus(root: HTMLElement): () => void {
  /** What has the focus and all around it, each with its place among its siblings. */
  let path: { part: HTMLElement; at: number }[] = [];
  const remember = (event: FocusEvent): void => {
    const around = event.composedPath().filter((part) => part instanceof HTMLElement && root.contains(part)) as HTMLElement[];
    path = around.map((part) => ({ part, at: part.parentElement === null ? 0 : [...part.parentElement.children].indexOf(part) }));
  };
  const forget = ({ target }: FocusEvent): void => {
    // Of what is being removed, nothing is forgotten: it is gone a moment later.
    queueMicrotask(() => {
      if (target === path[0]?.part && path[0]?.part.isConnected === true) path = [];
    });
  };
  const heir = (): HTMLElement | null => {
    for (let i = 1; i < path.length; i++) {
      const { part } = path[i] as (typeof path)[number];
      if (!part.isConnected) continue;
      // It follows keys itself, or is a region: from it one goes on.
      if (part.hasAttribute("tabindex")) return part;
      const neighbour = part.children[Math.min(path[i - 1]?.at ?? 0, part.children.length - 1)];
      const next = neighbour?.matches(FOCUSABLE) === true ? neighbour : (neighbour?.querySelector(FOCUSABLE) ?? part.querySelector(FOCUSABLE));
      if (next instanceof HTMLElement) return next;
    }
    return null;
  };
  const observer = new MutationObserver(() => {
    if (path.length > 0 && path[0]?.part.isConnected === false && isFocusLost(root)) heir()?.focus({ preventScroll: true });
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
