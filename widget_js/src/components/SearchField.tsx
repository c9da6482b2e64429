/** The search of texts: sent when typing pauses, or at once by Enter. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Store } from "../store";

const PAUSE_MS = 200;

export function SearchField({ store }: { store: Store }) {
  const { query } = store.state.value;
  const [typed, setTyped] = useState(query);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const sent = useRef(query);
  // A query that was set elsewhere (another view, Python, reset) shows here.
  useLayoutEffect(() => {
    if (query === sent.current) return;
    clearTimeout(timer.current);
    setTyped(query);
    sent.current = query;
  }, [query]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const send = (value: string): void => {
    clearTimeout(timer.current);
    if (value === store.state.value.query) return;
    sent.current = value;
    store.update({ query: value });
  };
  return (
    <input
      class="lloom-input lloom-search"
      type="search"
      placeholder="Search the texts"
      aria-label="Search the texts"
      value={typed}
      onInput={(event) => {
        const { value } = event.currentTarget;
        setTyped(value);
        clearTimeout(timer.current);
        timer.current = setTimeout(() => send(value), PAUSE_MS);
      }}
      onBlur={(event) => send(event.currentTarget.value)}
      onKeyDown={(event) => {
        if (event.key === "Enter") send(event.currentTarget.value);
      }}
    />
  );
}
