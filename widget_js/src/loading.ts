/** Something that is asked of the source once and kept: on its way, here, or failed with a way to ask again. */

import { type ReadonlySignal, signal } from "@preact/signals";
import { SourceError } from "./source";

export type Loaded<T> =
  | { status: "loading" }
  | { status: "ready"; value: T }
  | { status: "failed"; busy: boolean; message: string };

export class Loading<T> {
  readonly #state = signal<Loaded<T>>({ status: "loading" });
  #current = 0;

  constructor(private readonly ask: () => Promise<T>) {
    this.#run();
  }

  get state(): ReadonlySignal<Loaded<T>> {
    return this.#state;
  }

  /** The value once it is here; null before. */
  get value(): T | null {
    const state = this.#state.value;
    return state.status === "ready" ? state.value : null;
  }

  /** Asks (again). */
  readonly load = (): void => {
    this.#state.value = { status: "loading" };
    this.#run();
  };

  #run(): void {
    const number = ++this.#current;
    this.ask().then(
      (value) => {
        if (number === this.#current) this.#state.value = { status: "ready", value };
      },
      (error: unknown) => {
        if (number === this.#current) this.#state.value = failure(error);
      },
    );
  }
}

export function failure(error: unknown): { status: "failed"; busy: boolean; message: string } {
  const busy = error instanceof SourceError && error.reason === "timeout";
  return { status: "failed", busy, message: error instanceof Error ? error.message : String(error) };
}
