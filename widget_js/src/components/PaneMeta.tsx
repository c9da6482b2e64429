/** The metadata of one document: the shown columns first, of very many the rest when asked for. */

import { useState } from "preact/hooks";
import { counted, metaOf } from "../format";
import type { Meta } from "../protocol";
import type { Store } from "../store";

const FEW = 9;

export function PaneMeta({ store, meta }: { store: Store; meta: Meta }) {
  const [all, setAll] = useState(false);
  const first = store.shownColumns.value;
  const names = store.about.value.columns.map(({ name }) => name).filter((name) => metaOf(meta, name) !== "–");
  const ordered = [...names.filter((name) => first.includes(name)), ...names.filter((name) => !first.includes(name))];
  const shown = all || ordered.length <= FEW ? ordered : ordered.slice(0, FEW);
  if (ordered.length === 0) return null;
  return (
    <section aria-label="Metadata">
      <h4 class="lloom-caption">Metadata</h4>
      <dl class="lloom-pane-meta">
        {shown.map((name) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{metaOf(meta, name)}</dd>
          </div>
        ))}
      </dl>
      {shown.length < ordered.length && (
        <button type="button" class="lloom-button lloom-button--quiet" onClick={() => setAll(true)}>
          {counted(ordered.length - shown.length, "more column")}
        </button>
      )}
    </section>
  );
}
