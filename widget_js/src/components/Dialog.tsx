/** A modal dialog: the browser's own, which keeps focus inside, closes with Escape and gives focus back. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { focusedBeside } from "../focus";

interface Props {
  title: string;
  onClose: () => void;
  /** What to do; the last button is the one that acts. */
  actions: ComponentChildren;
  children: ComponentChildren;
}

export function Dialog({ title, onClose, actions, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const element = dialog.current;
    const before = focusedBeside(element);
    element?.showModal();
    return () => {
      element?.close();
      if (before?.isConnected === true) before.focus();
    };
  }, []);
  const cancel = (event: Event): void => {
    event.preventDefault();
    onClose();
  };
  return (
    <dialog ref={dialog} class="lloom-dialog" tabIndex={-1} aria-label={title} onCancel={cancel}>
      <h2 class="lloom-dialog-title">{title}</h2>
      <div class="lloom-dialog-body">{children}</div>
      <div class="lloom-dialog-actions">{actions}</div>
    </dialog>
  );
}
