/** Puts the view into an element and takes it out again. */

import { render } from "preact";
import { App } from "./components/App";
import type { Source } from "./source";
import { Store } from "./store";

/** Returns the function that removes the view and ends all that it listens to. */
export function mount(source: Source, el: HTMLElement): () => void {
  const store = new Store(source);
  render(<App store={store} />, el);
  return () => {
    render(null, el);
    store.dispose();
  };
}
