/** Which metadata columns stand beside the documents. */

import type { Store } from "../store";
import { CheckList } from "./CheckList";

export function ColumnChooser({ store }: { store: Store }) {
  const { columns } = store.about.value;
  return (
    <div class="lloom-filters" role="group" aria-label="Columns">
      {columns.length === 0 ? (
        <p class="lloom-note">The corpus has no metadata columns.</p>
      ) : (
        <CheckList
          name="Columns shown"
          choices={columns.map(({ name }) => ({ value: name, name }))}
          chosen={store.shownColumns.value}
          onChoose={(shown_columns) => store.update({ shown_columns })}
        />
      )}
    </div>
  );
}
