/** The colours of the map's groups on the paper of the view, light or dark. */

import { useLayoutEffect, useState } from "preact/hooks";
import type { Ink } from "./grouping";
import { mixed, type Rgb, rgbOf } from "./scatter";

export interface Inks {
  paper: Rgb;
  faint: Rgb;
  of(ink: Ink): Rgb;
}

/** Okabe and Ito's hues, with their yellow and black replaced by ones that show on this paper. */
const HUES: Record<"light" | "dark", readonly string[]> = {
  light: ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a5195"],
  dark: ["#56b4e9", "#e69f00", "#1bc698", "#e39cc6", "#9fd3f5", "#f0804b", "#b497d6"],
};
/** From pale to strong, by lightness as well as hue, so that the order is seen without colour. */
const RAMPS: Record<"light" | "dark", readonly string[]> = {
  light: ["#f2c48d", "#d98e73", "#a85c78", "#6a3d73", "#2b2556"],
  dark: ["#4a3f7a", "#8a4f86", "#c96f7b", "#eea76f", "#fbe3a4"],
};

export function inksOf(root: HTMLElement): Inks {
  const style = getComputedStyle(root);
  const [paper, ink] = [rgbOf(style.backgroundColor), rgbOf(style.color)];
  const shade = root.dataset["shade"] === "dark" ? "dark" : "light";
  const hues = HUES[shade].map(rgbOf);
  const ramp = RAMPS[shade].map(rgbOf);
  return {
    paper,
    faint: mixed(ink, paper, 0.14),
    of(group) {
      if ("hue" in group) return hues[group.hue % hues.length] as Rgb;
      if ("grey" in group) return mixed(ink, paper, group.grey);
      const at = group.ramp * (ramp.length - 1);
      const low = Math.min(ramp.length - 2, Math.floor(at));
      return mixed(ramp[low + 1] as Rgb, ramp[low] as Rgb, at - low);
    },
  };
}

export function cssOf([r, g, b]: Rgb): string {
  return `rgb(${r} ${g} ${b})`;
}

/** The inks of the view around `at`, read again when its theme changes. */
export function useInks(at: { readonly current: HTMLElement | null }): Inks | null {
  const [inks, setInks] = useState<Inks | null>(null);
  useLayoutEffect(() => {
    const root = at.current?.closest<HTMLElement>(".lloom-root");
    if (root == null) return undefined;
    const read = (): void => setInks(inksOf(root));
    const observer = new MutationObserver(read);
    observer.observe(root, { attributes: true, attributeFilter: ["data-shade", "class"] });
    read();
    return () => observer.disconnect();
  }, []);
  return inks;
}
