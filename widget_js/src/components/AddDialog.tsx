/** Adding a concept of one's own. */

import { useState } from "preact/hooks";
import type { Draft } from "../protocol";
import type { Store } from "../store";
import { ChangeDialog } from "./ChangeDialog";
import { ConceptFields, lacking, trimmed } from "./ConceptFields";

export function AddDialog({ store, onClose }: { store: Store; onClose: () => void }) {
  const [draft, setDraft] = useState<Draft>({ name: "", criteria: "" });
  return (
    <ChangeDialog
      store={store}
      title="Add a concept"
      verb="Add"
      drafts={[trimmed(draft)]}
      edit={() => ({ action: "add", ...trimmed(draft) })}
      problem={lacking(draft)}
      tell={false}
      onClose={onClose}
    >
      <ConceptFields value={draft} onChange={setDraft} focus />
    </ChangeDialog>
  );
}
