/** What stands where there is nothing to show: what is missing, and what can be done. */

import type { ComponentChildren } from "preact";

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="lloom-empty">
      <p class="lloom-empty-title">{title}</p>
      {children !== undefined && <div class="lloom-empty-text">{children}</div>}
    </div>
  );
}
