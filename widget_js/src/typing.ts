/** Text that is sent when typing pauses: what a field shows, and when it is sent. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

const PAUSE_MS = 200;

/** Attributes of an input whose text is `value` elsewhere; sent after a pause, by Enter, and when the field is left. */
export function useTyped(value: string, send: (value: string) => void) {
  const [typed, setTyped] = useState(value);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const sent = useRef(value);
  // What was set elsewhere (another view, Python, reset) shows here, and ends what is being typed.
  useLayoutEffect(() => {
    if (value === sent.current) return;
    clearTimeout(timer.current);
    setTyped(value);
    sent.current = value;
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const now = useRef(send);
  now.current = send;
  const flush = (next: string): void => {
    clearTimeout(timer.current);
    if (next === sent.current) return;
    sent.current = next;
    now.current(next);
  };
  return {
    value: typed,
    onInput: (event: { currentTarget: HTMLInputElement }): void => {
      const next = event.currentTarget.value;
      setTyped(next);
      clearTimeout(timer.current);
      timer.current = setTimeout(() => flush(next), PAUSE_MS);
    },
    onBlur: (event: { currentTarget: HTMLInputElement }): void => flush(event.currentTarget.value),
    onKeyDown: (event: { key: string; currentTarget: HTMLInputElement }): void => {
      if (event.key === "Enter") flush(event.currentTarget.value);
    },
  };
}
