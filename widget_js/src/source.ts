/** Where the view gets its data: one interface over a kernel and over a page of its own. */

import type { MessageKind, Messages, TraitName, Traits } from "./protocol";

/** A reply with its binary parts. */
export type Reply<K extends MessageKind> = Messages[K][1] & { buffers: Uint8Array[] };

export interface Source {
  /** Whether edits may be asked for. */
  readonly editable: boolean;
  get<N extends TraitName>(name: N): Traits[N];
  /** Calls `listener` after each change of a trait; returns the function that ends it. */
  on(name: TraitName, listener: () => void): () => void;
  set<N extends "state" | "chosen">(name: N, value: Traits[N]): void;
  /** Rejects with a `SourceError`. */
  request<K extends MessageKind>(kind: K, ask: Messages[K][0]): Promise<Reply<K>>;
  dispose(): void;
}

/** Why a request has no reply: the other side said so, or said nothing in time. */
export class SourceError extends Error {
  constructor(
    readonly reason: "refused" | "timeout" | "closed",
    message: string,
  ) {
    super(message);
    this.name = "SourceError";
  }
}

/** The bytes of a binary trait or buffer, without a copy. */
export function bytesOf(value: DataView | Uint8Array | ArrayBuffer | null | undefined): Uint8Array {
  if (value == null) return new Uint8Array(0);
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

/** An aligned copy of `bytes` for a wider typed array; binary traits may start anywhere in their message. */
export function aligned(bytes: Uint8Array, width: number): ArrayBuffer {
  const whole = bytes.byteLength - (bytes.byteLength % width);
  const copy = new Uint8Array(whole);
  copy.set(bytes.subarray(0, whole));
  return copy.buffer;
}
