/** Getting files and text out of the page: a download, the clipboard. */

/** Offers `bytes` as a download under that name. */
export function download(page: Document, name: string, mime: string, bytes: Uint8Array): void {
  const url = URL.createObjectURL(new Blob([bytes.slice()], { type: mime }));
  const link = page.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser reads the address when the click is handled.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Copies text; false where the host does not let a page write to the clipboard. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
