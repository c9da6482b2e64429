/** The tabs, as a tab list with roving focus. */

import { type Tab, TABS } from "../protocol";
import type { Store } from "../store";
import { PANELS } from "./panels";

export function Tabs({ store }: { store: Store }) {
  const { tab } = store.state.value;
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const to = event.key === "Home" ? 0 : event.key === "End" ? TABS.length - 1 : TABS.indexOf(tab) + (step ?? 0);
    if (step === undefined && event.key !== "Home" && event.key !== "End") return;
    event.preventDefault();
    const next = TABS[(to + TABS.length) % TABS.length] as Tab;
    store.update({ tab: next });
    const list = event.currentTarget as HTMLElement;
    list.querySelector<HTMLElement>(`[data-tab="${next}"]`)?.focus();
  };
  return (
    <div class="lloom-tabs" role="tablist" aria-label="Views" onKeyDown={onKeyDown}>
      {TABS.map((name) => (
        <button
          key={name}
          id={`${store.id}-${name}`}
          type="button"
          role="tab"
          class="lloom-tab"
          data-tab={name}
          aria-selected={name === tab}
          aria-controls={`${store.id}-panel`}
          tabIndex={name === tab ? 0 : -1}
          onClick={() => store.update({ tab: name })}
        >
          {PANELS[name].title}
        </button>
      ))}
    </div>
  );
}
