/** Where the keyboard is, also inside a shadow root, into which some hosts put the view. */

/** The focused element of the tree that `element` is in. */
export function focusedBeside(element: Element | null): HTMLElement | null {
  const tree = element?.getRootNode();
  const focused = tree instanceof Document || tree instanceof ShadowRoot ? tree.activeElement : null;
  return focused instanceof HTMLElement ? focused : null;
}
