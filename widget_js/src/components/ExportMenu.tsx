/** Getting out: the selection as Python, as a table, as data, or the whole view as a page of its own. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { useAsking } from "../asking";
import { counted } from "../format";
import { copy, download } from "../saving";
import type { Store } from "../store";
import { Dialog } from "./Dialog";
import { Notice } from "./Notice";

type Format = "csv" | "json" | "html";
type Scope = "selection" | "all";

export function ExportMenu({ store }: { store: Store }) {
  const [open, setOpen] = useState(false);
  const [done, setDone] = useState("");
  const [code, setCode] = useState<string | null>(null);
  const asking = useAsking();
  const wrap = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const nSelected = store.documents.selection.value.rows.length;
  const nDocs = store.about.value.n_docs;
  const some = nSelected < nDocs;
  const close = (back: boolean): void => {
    setOpen(false);
    if (back) button.current?.focus();
  };
  useLayoutEffect(() => {
    if (!open) return undefined;
    wrap.current?.querySelector<HTMLElement>("[role=menuitem]")?.focus();
    const outside = (event: Event): void => {
      // The path tells where inside a shadow root; the target is its host.
      if (wrap.current !== null && !event.composedPath().includes(wrap.current)) close(false);
    };
    const page = wrap.current?.ownerDocument;
    page?.addEventListener("pointerdown", outside);
    return () => page?.removeEventListener("pointerdown", outside);
  }, [open]);
  useEffect(() => {
    if (done === "") return undefined;
    const timer = setTimeout(() => setDone(""), 4000);
    return () => clearTimeout(timer);
  }, [done]);
  const save = (format: Format, scope: Scope): void => {
    close(true);
    void asking.ask(async () => {
      const reply = await store.request("export", { format, scope });
      const page = button.current?.ownerDocument ?? document;
      download(page, reply.file_name, reply.mime, reply.buffers[0] ?? new Uint8Array(0));
      setDone(`Saved ${reply.file_name}`);
    });
  };
  const python = (): void => {
    close(true);
    void asking.ask(async () => {
      const reply = await store.request("python", {});
      if (await copy(reply.code)) setDone("Copied");
      else setCode(reply.code);
    });
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (!open) return;
    if (event.key === "Escape" || event.key === "Tab") {
      if (event.key === "Escape") event.preventDefault();
      close(event.key === "Escape");
      return;
    }
    const items = [...(wrap.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
    const at = items.indexOf(event.target as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    items[(to + items.length) % items.length]?.focus();
  };
  const item = (text: string, told: string, act: () => void) => (
    <button type="button" role="menuitem" class="lloom-menu-item" tabIndex={-1} onClick={act}>
      <span>{text}</span>
      <span class="lloom-note">{told}</span>
    </button>
  );
  const all = counted(nDocs, "document");
  return (
    <div ref={wrap} class="lloom-export" onKeyDown={onKeyDown}>
      <button
        ref={button}
        type="button"
        class="lloom-button"
        aria-haspopup="menu"
        aria-expanded={open}
        aria-disabled={asking.waiting}
        onClick={() => setOpen(!open && !asking.waiting)}
      >
        {asking.waiting ? "Exporting…" : "Export"}
        <span aria-hidden="true">▾</span>
      </button>
      {open && (
        <div class="lloom-menu" role="menu" aria-label="Export">
          {item("Copy as Python", "sets this view and gets its documents", python)}
          {some && item("CSV of the selection", counted(nSelected, "document"), () => save("csv", "selection"))}
          {item("CSV", all, () => save("csv", "all"))}
          {some && item("JSON of the selection", counted(nSelected, "document"), () => save("json", "selection"))}
          {item("JSON", all, () => save("json", "all"))}
          {store.editable.value && item("Web page", "opens without Python, no editing", () => save("html", "all"))}
        </div>
      )}
      <span class="lloom-export-done" role="status">
        {done}
      </span>
      <Notice asking={asking} />
      {code !== null && (
        <Dialog
          title="Copy as Python"
          onClose={() => setCode(null)}
          actions={
            <button type="button" class="lloom-button lloom-button--primary" onClick={() => setCode(null)}>
              Close
            </button>
          }
        >
          <p class="lloom-note">This host keeps pages from the clipboard. Select the text and copy it.</p>
          <textarea class="lloom-input lloom-code" rows={8} readOnly value={code} autofocus onFocus={(event) => event.currentTarget.select()} />
        </Dialog>
      )}
    </div>
  );
}
