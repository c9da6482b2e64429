/** Puts the view into an element and takes it out again. */

import { render } from "preact";
import { App } from "./components/App";
import type { Store } from "./store";

/** Returns the function that removes the view and ends all that it listens to. */
export function mount(store: Store, el: HTMLElement): () => void {
  el.replaceChildren();
  render(<App store={store} />, el);
  return () => {
    render(null, el);
    store.dispose();
  };
}
