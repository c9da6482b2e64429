/** The view of a page of its own: the same app over the data in the page. */

import { LocalSource } from "./local-source";
import { mount } from "./mount";
import { Store } from "./store";

const root = document.getElementById("lloom-root");
if (root !== null) {
  LocalSource.open(document).then(
    (source) => {
      // The page is ours alone: the view fills it.
      root.classList.add("lloom-page");
      document.body.style.margin = "0";
      document.documentElement.style.colorScheme = source.get("theme") === "auto" ? "light dark" : source.get("theme");
      const store = new Store(source);
      source.selected = () => store.documents.selection.value.rows;
      mount(store, root);
    },
    (error: unknown) => {
      root.prepend(`The data of this page cannot be read: ${error instanceof Error ? error.message : String(error)}.`);
    },
  );
}
