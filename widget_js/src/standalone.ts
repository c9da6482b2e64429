/** The view of a page of its own: the same app over the data in the page. */

import { LocalSource } from "./local-source";
import { mount } from "./mount";

const root = document.getElementById("lloom-view");
if (root !== null) {
  LocalSource.open(document).then(
    (source) => mount(source, root),
    (error: unknown) => {
      root.textContent = `The data of this page cannot be read: ${error instanceof Error ? error.message : String(error)}`;
    },
  );
}
