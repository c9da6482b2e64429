/** Light or dark: what the host shows, unless the view is told otherwise. */

import type { Theme } from "./protocol";

export type Shade = "light" | "dark";

/** The shade of the page around `el`. JupyterLab, VS Code, marimo and others each say it in their own way. */
export function hostShade(el: Element): Shade {
  const { body, documentElement: html } = el.ownerDocument;
  const jupyter = body.dataset["jpThemeLight"];
  if (jupyter !== undefined) return jupyter === "true" ? "light" : "dark";
  for (const node of [body, html]) {
    const names = node.classList;
    if (["vscode-dark", "dark", "dark-theme", "theme-dark"].some((name) => names.contains(name))) return "dark";
    if (names.contains("vscode-high-contrast") && !names.contains("vscode-high-contrast-light")) return "dark";
    if (["vscode-light", "light", "light-theme", "vscode-high-contrast-light"].some((name) => names.contains(name))) return "light";
    const said = node.dataset["theme"] ?? node.dataset["colorMode"] ?? node.dataset["bsTheme"];
    if (said === "dark" || said === "light") return said;
  }
  const scheme = getComputedStyle(body).colorScheme;
  if (scheme === "dark" || scheme === "light") return scheme;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Calls `show` now and whenever the host changes its shade; returns the function that ends it. */
export function followShade(el: Element, theme: Theme, show: (shade: Shade) => void): () => void {
  if (theme !== "auto") {
    show(theme);
    return () => undefined;
  }
  const look = (): void => show(hostShade(el));
  const { body, documentElement } = el.ownerDocument;
  const observer = new MutationObserver(look);
  for (const node of [body, documentElement]) observer.observe(node, { attributes: true });
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", look);
  look();
  return () => {
    observer.disconnect();
    system.removeEventListener("change", look);
  };
}
