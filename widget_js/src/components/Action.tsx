/** A button that keeps the focus while it cannot be pressed: a disabled one loses it, and the keys that follow. */

import type { ComponentProps } from "preact";

type Props = Omit<ComponentProps<"button">, "disabled" | "onClick"> & {
  /** Whether it cannot be pressed now. */
  off: boolean;
  onClick?: () => void;
};

export function Action({ off, onClick, type = "button", ...rest }: Props) {
  const press = (event: Event): void => {
    if (off) event.preventDefault();
    else onClick?.();
  };
  return <button {...rest} type={type} aria-disabled={off} onClick={press} />;
}
