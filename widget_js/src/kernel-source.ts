/** The data source of a notebook: traits and messages of an anywidget model. */

import type { MessageKind, Messages, TraitName, Traits } from "./protocol";
import { bytesOf, type Reply, type Source, SourceError } from "./source";

/** The part of anywidget's model that we use. */
export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  on(event: string, callback: (...args: never[]) => void): void;
  off(event: string, callback: (...args: never[]) => void): void;
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]): void;
}

interface Waiting {
  /** Begins the wait (again). */
  wait(): void;
  resolve(reply: Reply<MessageKind>): void;
  reject(error: SourceError): void;
  timer: ReturnType<typeof setTimeout> | undefined;
}

const TIMEOUT_MS = 30_000;
let views = 0;

export class KernelSource implements Source {
  readonly #waiting = new Map<string, Waiting>();
  readonly #listeners: [string, () => void][] = [];
  // Replies reach every view of a model: ids must differ between the views of a page and between pages.
  readonly #prefix = `${Date.now().toString(36)}-${++views}-`;
  #requests = 0;

  constructor(
    readonly model: Model,
    readonly timeoutMs: number = TIMEOUT_MS,
  ) {
    model.on("msg:custom", this.#receive);
  }

  get editable(): boolean {
    return Boolean(this.model.get("editable"));
  }

  get<N extends TraitName>(name: N): Traits[N] {
    return this.model.get(name) as Traits[N];
  }

  on(name: TraitName, listener: () => void): () => void {
    const event = `change:${name}`;
    this.model.on(event, listener);
    this.#listeners.push([event, listener]);
    return () => this.model.off(event, listener);
  }

  set<N extends "state" | "chosen">(name: N, value: Traits[N]): void {
    this.model.set(name, value);
    this.model.save_changes();
  }

  request<K extends MessageKind>(kind: K, ask: Messages[K][0]): Promise<Reply<K>> {
    const id = this.#prefix + ++this.#requests;
    return new Promise((resolve, reject) => {
      const late = (): void => {
        this.#waiting.delete(id);
        reject(new SourceError("timeout", "The kernel is busy and did not answer."));
      };
      const waiting: Waiting = {
        wait: () => {
          clearTimeout(waiting.timer);
          waiting.timer = setTimeout(late, this.timeoutMs);
        },
        resolve: resolve as Waiting["resolve"],
        reject,
        timer: undefined,
      };
      waiting.wait();
      this.#waiting.set(id, waiting);
      this.model.send({ ...ask, id, kind });
    });
  }

  dispose(): void {
    this.model.off("msg:custom", this.#receive);
    for (const [event, listener] of this.#listeners) this.model.off(event, listener);
    this.#listeners.length = 0;
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new SourceError("closed", "The view was closed."));
    }
    this.#waiting.clear();
  }

  readonly #receive = (content: { id?: unknown; ok?: unknown; error?: unknown; pending?: unknown } | null, buffers?: DataView[]): void => {
    if (content === null || typeof content?.id !== "string") return;
    const waiting = this.#waiting.get(content.id);
    if (waiting === undefined) return;
    if (content.ok === undefined && content.pending === true) {
      waiting.wait();
      return;
    }
    this.#waiting.delete(content.id);
    clearTimeout(waiting.timer);
    if (content.ok === true) {
      waiting.resolve({ ...content, buffers: (buffers ?? []).map(bytesOf) } as unknown as Reply<MessageKind>);
    } else {
      waiting.reject(new SourceError("refused", String(content.error ?? "The request was refused.")));
    }
  };
}
