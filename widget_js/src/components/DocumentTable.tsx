/** The table of documents: only the rows in sight are in the page, however many there are. */

import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { OUTLIERS } from "../state";
import type { Store } from "../store";
import { useVirtualRows } from "../virtual";
import { DocumentRow } from "./DocumentRow";
import { DocumentTableHead } from "./DocumentTableHead";

/** Height of a row in px; documents.css has the same. */
export const ROW_HEIGHT = 96;
/** Rows are asked for in blocks of this many. */
const BLOCK = 50;

interface Props {
  store: Store;
  scroller: RefObject<HTMLElement | null>;
  /** Height of what sticks to the top of the scroller. */
  covered: number;
  /** Follows a key that judges a score; false if it is none. */
  onJudge: (event: KeyboardEvent) => boolean;
}

export function DocumentTable({ store, scroller, covered, onJudge }: Props) {
  const { id } = store;
  const body = useRef<HTMLDivElement>(null);
  const [margin, setMargin] = useState(0);
  const [width, setWidth] = useState(0);
  const { pages, selection, lens, cursor } = store.documents;
  const { rows } = selection.value;
  const columns = store.shownColumns.value;
  const { items, total, scrollTo } = useVirtualRows({
    count: rows.length,
    height: ROW_HEIGHT,
    scroller: () => scroller.current,
    margin,
    covered: covered + HEAD_HEIGHT,
  });

  useLayoutEffect(() => {
    const frame = scroller.current;
    if (frame === null) return undefined;
    const measure = (): void => {
      setMargin(body.current?.offsetTop ?? 0);
      setWidth(frame.clientWidth);
    };
    const observer = new ResizeObserver(measure);
    for (const child of frame.children) observer.observe(child);
    observer.observe(frame);
    measure();
    return () => observer.disconnect();
  }, [covered]);

  const first = items[0]?.index ?? 0;
  const last = items[items.length - 1]?.index ?? -1;
  const version = pages.version.value;
  useEffect(() => {
    const from = Math.floor(first / BLOCK) * BLOCK;
    const to = Math.min(rows.length, (Math.floor(last / BLOCK) + 1) * BLOCK);
    pages.want("table", [...rows.subarray(from, to)], lens.value);
  }, [rows, first, last, version, lens.value]);

  const at = cursor.value === null ? -1 : rows.indexOf(cursor.value);
  const go = (position: number): void => {
    const next = Math.min(rows.length - 1, Math.max(0, position));
    const row = rows[next] ?? null;
    cursor.value = row;
    if (store.state.value.document !== null && row !== null) store.update({ document: row });
    scrollTo(next);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== event.currentTarget) return;
    if (onJudge(event)) return;
    const page = Math.max(1, Math.floor(((scroller.current?.clientHeight ?? 0) - covered) / ROW_HEIGHT) - 1);
    const moves: Record<string, number> = {
      j: at + 1,
      ArrowDown: at + 1,
      k: at - 1,
      ArrowUp: at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: rows.length - 1,
    };
    const to = moves[event.key];
    if (to !== undefined) go(to);
    else if (event.key === "Enter" && at >= 0) store.update({ document: cursor.value });
    else if (event.key === "Escape" && store.state.value.document !== null) store.update({ document: null });
    else return;
    event.preventDefault();
  };
  const judged = store.state.value.concept !== null && store.state.value.concept !== OUTLIERS;
  const beside = columns.slice(0, roomFor(width, judged));
  const meta = beside.length === 0 ? "" : ` repeat(${beside.length}, var(--lloom-meta))`;
  const template = `${judged ? "60px " : ""}minmax(0, 1fr) ${judged ? "var(--lloom-rationale)" : ""}${meta}`;
  return (
    <div
      class={judged ? "lloom-table" : "lloom-table lloom-table--plain"}
      role="grid"
      aria-label="Documents"
      aria-rowcount={rows.length + 1}
      aria-activedescendant={at >= first && at <= last ? `${id}-${cursor.value}` : undefined}
      tabIndex={0}
      style={{ "--lloom-columns": template }}
      onKeyDown={onKeyDown}
      onFocus={(event) => {
        if (event.target !== event.currentTarget) return;
        const to = at < 0 ? first : at;
        if (at < 0) cursor.value = rows[to] ?? null;
        // A browser shows some part of what takes the focus; a press of the mouse must find its row in place.
        if (event.currentTarget.matches(":focus-visible")) scrollTo(to);
      }}
    >
      <DocumentTableHead store={store} columns={beside} top={covered} />
      <div class="lloom-table-body" role="rowgroup" ref={body} style={{ height: `${total}px` }}>
        {items.map(({ index, start }) => {
          const row = rows[index] as number;
          return (
            <DocumentRow
              key={row}
              id={`${id}-${row}`}
              store={store}
              row={row}
              position={index}
              top={start - margin}
              page={pages.get(row, lens.value)}
              columns={columns}
              beside={beside.length}
              current={row === cursor.value}
            />
          );
        })}
      </div>
    </div>
  );
}

const HEAD_HEIGHT = 32;

/** How many columns stand beside a text that is to stay readable; sizes in px as in documents.css. */
export function roomFor(width: number, judged: boolean): number {
  const wide = width >= 860;
  const text = wide && judged ? 372 : 220;
  const taken = 32 + (judged ? 72 : 0) + text;
  return Math.max(0, Math.floor((width - taken) / (wide ? 108 : 96)));
}
