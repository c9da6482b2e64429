/** Something that the session has to tell, until it is dismissed. */

import { useState } from "preact/hooks";
import type { Store } from "../store";

export function NoticeLine({ store }: { store: Store }) {
  const notice = store.notice.value;
  const [closed, setClosed] = useState("");
  if (notice === null || closed === notice.at + notice.text) return null;
  return (
    <p class={`lloom-alert lloom-alert--${notice.level === "info" ? "info" : "problem"}`} role="status">
      <span>{notice.text}</span>
      <button type="button" class="lloom-button lloom-button--quiet" aria-label="Dismiss" onClick={() => setClosed(notice.at + notice.text)}>
        ×
      </button>
    </p>
  );
}
