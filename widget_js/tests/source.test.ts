import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KernelSource, type Model } from "../src/kernel-source";
import { Loading } from "../src/loading";
import { Pages } from "../src/pages";
import type { PageRow } from "../src/protocol";
import { aligned, bytesOf, type Reply, type Source, SourceError } from "../src/source";
import { Store } from "../src/store";

type Listener = (...args: never[]) => void;

class Host implements Model {
  traits: Record<string, unknown> = { about: { n_docs: 3 }, score_ids: ["a"], scores: new DataView(Uint8Array.of(4, 0, 255).buffer) };
  sent: { id: string; kind: string }[] = [];
  listeners = new Map<string, Set<Listener>>();
  get = (name: string): unknown => this.traits[name];
  set(name: string, value: unknown): void {
    this.traits[name] = value;
    this.emit(`change:${name}`);
  }
  save_changes = vi.fn();
  on(event: string, callback: Listener): void {
    this.listeners.set(event, (this.listeners.get(event) ?? new Set()).add(callback));
  }
  off(event: string, callback: Listener): void {
    this.listeners.get(event)?.delete(callback);
  }
  send(message: unknown): void {
    this.sent.push(message as { id: string; kind: string });
  }
  emit(event: string, ...args: unknown[]): void {
    for (const callback of [...(this.listeners.get(event) ?? [])]) callback(...(args as never[]));
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("asking a kernel", () => {
  it("matches replies to requests, whatever their order, and ignores those of other views", async () => {
    const host = new Host();
    const [one, two] = [new KernelSource(host), new KernelSource(host)];
    const first = one.request("search", { query: "a" });
    const second = two.request("search", { query: "b" });
    const [a, b] = host.sent;
    expect(a?.id).not.toBe(b?.id);
    host.emit("msg:custom", { id: "stranger", ok: true });
    host.emit("msg:custom", null);
    host.emit("msg:custom", { id: b?.id, ok: true }, [new DataView(Uint8Array.of(2).buffer)]);
    host.emit("msg:custom", { id: a?.id, ok: true }, [new DataView(Uint8Array.of(1).buffer)]);
    expect([...((await first).buffers[0] as Uint8Array)]).toEqual([1]);
    expect([...((await second).buffers[0] as Uint8Array)]).toEqual([2]);
  });

  it("tells a refusal, silence and the end apart", async () => {
    const host = new Host();
    const source = new KernelSource(host, 30_000);
    const refused = source.request("cancel", {});
    host.emit("msg:custom", { id: host.sent[0]?.id, ok: false, error: "Nothing is under way." });
    await expect(refused).rejects.toMatchObject({ reason: "refused", message: "Nothing is under way." });
    const silent = source.request("cancel", {});
    vi.advanceTimersByTime(30_001);
    await expect(silent).rejects.toMatchObject({ reason: "timeout" });
    const open = source.request("cancel", {});
    source.dispose();
    await expect(open).rejects.toMatchObject({ reason: "closed" });
    expect([...host.listeners.values()].every((set) => set.size === 0)).toBe(true);
  });

  it("waits for as long as the kernel says that it is at work, and no longer", async () => {
    const host = new Host();
    const source = new KernelSource(host, 30_000);
    const working = source.request("export", { format: "html", scope: "all" });
    const id = host.sent[0]?.id;
    for (let beat = 0; beat < 9; beat++) {
      vi.advanceTimersByTime(10_000);
      host.emit("msg:custom", { id, pending: true });
    }
    host.emit("msg:custom", { id, ok: true, file_name: "study.html" });
    expect((await working).file_name).toBe("study.html");
    const stuck = source.request("export", { format: "html", scope: "all" });
    host.emit("msg:custom", { id: host.sent[1]?.id, pending: true });
    vi.advanceTimersByTime(30_001);
    await expect(stuck).rejects.toMatchObject({ reason: "timeout" });
  });

  it("takes an answer that tells of something pending for an answer", async () => {
    const host = new Host();
    const source = new KernelSource(host);
    const map = source.request("map", {});
    host.emit("msg:custom", { id: host.sent[0]?.id, ok: true, ready: false, pending: true });
    expect((await map).pending).toBe(true);
  });

  it("reads bytes that start anywhere", () => {
    const bytes = Uint8Array.of(9, 1, 0, 2, 0);
    expect([...new Uint16Array(aligned(bytesOf(new DataView(bytes.buffer, 1)), 2))]).toEqual([1, 2]);
    expect(bytesOf(null)).toHaveLength(0);
  });
});

describe("the store", () => {
  it("writes changes of the state without defaults and hears those of others", () => {
    const host = new Host();
    const store = new Store(new KernelSource(host));
    store.update({ concept: "a", threshold: 1, query: "" });
    expect(host.traits["state"]).toEqual({ concept: "a" });
    expect(host.save_changes).toHaveBeenCalledTimes(1);
    host.set("state", { tab: "matrix" });
    expect(store.state.value.tab).toBe("matrix");
    expect(store.state.value.concept).toBeNull();
    store.dispose();
  });

  it("waits for the scores of new ids", () => {
    const host = new Host();
    const store = new Store(new KernelSource(host));
    host.set("score_ids", ["a", "b"]);
    expect(store.scores.value.ids).toEqual(["a"]);
    host.set("scores", new DataView(Uint8Array.of(4, 0, 255, 1, 2, 3).buffer));
    expect(store.scores.value.ids).toEqual(["a", "b"]);
    store.dispose();
  });
});

describe("pages", () => {
  const lens = { concept: "a", query: "" };
  const page = (row: number): PageRow => ({ row, id: `${row}`, text: "", cut: false, spans: [], rationale: "", bullets: [], meta: {} });
  const sourceOf = (answer: (rows: number[]) => Promise<PageRow[]>) => {
    const asked: number[][] = [];
    const request = (_: string, ask: { rows: number[] }): Promise<Reply<"rows">> => {
      asked.push(ask.rows);
      return answer(ask.rows).then((rows) => ({ rows, buffers: [] }));
    };
    return { asked, source: { request } as unknown as Source };
  };

  it("ask once for what is missing, and only for what is wanted last", async () => {
    const { asked, source } = sourceOf(async (rows) => rows.map(page));
    const pages = new Pages(source);
    pages.want("table", [1, 2], lens);
    pages.want("table", [5, 6], lens);
    pages.want("examples", [1], lens);
    await vi.advanceTimersByTimeAsync(50);
    expect(asked).toEqual([[5, 6], [1]]);
    pages.want("table", [6, 7], lens);
    await vi.advanceTimersByTimeAsync(50);
    expect(asked[2]).toEqual([7]);
    expect(pages.get(6, lens)?.id).toBe("6");
    expect(pages.get(6, { concept: "b", query: "" })).toBeUndefined();
  });

  it("keep what is old in sight until its successor is here", async () => {
    let version = 1;
    const { source } = sourceOf(async (rows) => rows.map((row) => ({ ...page(row), rationale: `${version}` })));
    const pages = new Pages(source);
    pages.want("table", [1], lens);
    await vi.advanceTimersByTimeAsync(50);
    version = 2;
    pages.age();
    expect(pages.get(1, lens)?.rationale).toBe("1");
    pages.want("table", [1], lens);
    await vi.advanceTimersByTimeAsync(50);
    expect(pages.get(1, lens)?.rationale).toBe("2");
  });

  it("stop after a failure until they are told to ask again", async () => {
    let busy = true;
    const { asked, source } = sourceOf(async (rows) => {
      if (busy) throw new SourceError("timeout", "busy");
      return rows.map(page);
    });
    const pages = new Pages(source);
    pages.want("table", [1], lens);
    await vi.advanceTimersByTimeAsync(50);
    expect(pages.problem.value).toMatchObject({ busy: true });
    pages.want("table", [1], lens);
    await vi.advanceTimersByTimeAsync(500);
    expect(asked).toHaveLength(1);
    busy = false;
    pages.retry();
    await vi.advanceTimersByTimeAsync(50);
    expect(pages.get(1, lens)?.id).toBe("1");
    expect(pages.problem.value).toBeNull();
  });

  it("forget the oldest of very many rows", async () => {
    const { source } = sourceOf(async (rows) => rows.map(page));
    const pages = new Pages(source);
    for (let start = 0; start < 5000; start += 500) {
      pages.want("table", Array.from({ length: 500 }, (_, i) => start + i), lens);
      await vi.advanceTimersByTimeAsync(50);
    }
    expect(pages.get(0, lens)).toBeUndefined();
    expect(pages.get(4999, lens)).toBeDefined();
  });
});

describe("loading", () => {
  it("fails with the reason and can be asked again", async () => {
    let busy = true;
    const loading = new Loading(async () => {
      if (busy) throw new SourceError("timeout", "no answer");
      return 7;
    });
    await vi.advanceTimersByTimeAsync(0);
    expect(loading.state.value).toEqual({ status: "failed", busy: true, message: "no answer" });
    busy = false;
    loading.load();
    await vi.advanceTimersByTimeAsync(0);
    expect(loading.value).toBe(7);
  });
});
