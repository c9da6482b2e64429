/** The data source of a standalone page: traits and compressed blocks that stand in the page itself. */

import type { MessageKind, Messages, TraitName, Traits } from "./protocol";
import { type Reply, type Source, SourceError } from "./source";

export class LocalSource implements Source {
  readonly editable = false;
  readonly #listeners = new Map<string, Set<() => void>>();

  private constructor(private readonly traits: Traits) {}

  static async open(page: Document): Promise<LocalSource> {
    const block = page.getElementById("lloom-traits");
    if (block === null) throw new Error("it holds none");
    return new LocalSource(JSON.parse(block.textContent ?? "") as Traits);
  }

  get<N extends TraitName>(name: N): Traits[N] {
    return this.traits[name];
  }

  on(name: TraitName, listener: () => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  set<N extends "state" | "chosen">(name: N, value: Traits[N]): void {
    this.traits[name] = value;
    for (const listener of this.#listeners.get(name) ?? []) listener();
  }

  async request<K extends MessageKind>(kind: K, _ask: Messages[K][0]): Promise<Reply<K>> {
    throw new SourceError("refused", `A saved page cannot answer "${kind}".`);
  }

  dispose(): void {
    this.#listeners.clear();
  }
}
