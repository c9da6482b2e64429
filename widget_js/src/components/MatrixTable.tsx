/** The matrix as a grid: arrow keys move between cells, each of which opens its documents. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { count, counted, percent } from "../format";
import { cellInWords, type MatrixFigures } from "../matrix";
import type { Store } from "../store";
import { Breakable } from "./Breakable";
import { MatrixMark } from "./MatrixMark";

interface Props {
  store: Store;
  figures: MatrixFigures;
  column: string;
}

interface Place {
  row: number;
  column: number;
}

interface Tip {
  text: string;
  x: number;
  y: number;
}

export function MatrixTable({ store, figures, column }: Props) {
  const { labels, sizes, rows, largest } = figures;
  const { concept, slice, norm, matrix } = store.state.value;
  const table = useRef<HTMLTableElement>(null);
  const [at, setAt] = useState<Place>({ row: 1, column: 1 });
  const [tip, setTip] = useState<Tip | null>(null);
  const moved = useRef(false);
  const home = { row: Math.min(at.row, rows.length), column: Math.min(at.column, labels.length) };

  useLayoutEffect(() => {
    if (!moved.current) return;
    moved.current = false;
    cellAt(table.current, home)?.focus();
  }, [home.row, home.column]);

  const onKeyDown = (event: KeyboardEvent): void => {
    const next = step(event, home, rows.length, labels.length);
    if (next !== null) {
      event.preventDefault();
      event.stopPropagation();
      moved.current = true;
      setAt(next);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      (event.target as HTMLElement).click();
    } else if (event.key === "Escape") {
      setTip(null);
    }
  };
  const point = (event: Event): void => {
    const cell = (event.target as Element).closest<HTMLElement>("[data-words]");
    setTip(cell === null ? null : tipOver(cell));
  };
  const props = (place: Place, open: () => void) => ({
    "data-place": `${place.row}:${place.column}`,
    tabIndex: place.row === home.row && place.column === home.column ? 0 : -1,
    onClick: () => {
      setAt(place);
      open();
    },
  });
  return (
    <div class="lloom-matrix-scroll" onMouseOver={point} onMouseLeave={() => setTip(null)} onFocusIn={point} onFocusOut={() => setTip(null)}>
      <table ref={table} class={`lloom-matrix-table lloom-matrix-${matrix}`} role="grid" aria-label={`Concepts by ${column}`} onKeyDown={onKeyDown}>
        <thead>
          <tr role="row">
            <td class="lloom-matrix-corner">
              <span class="lloom-note">{column}</span>
            </td>
            {labels.map((label, index) => {
              const words = `Slice ${label}: ${counted(sizes[index] ?? 0, "document")}`;
              const current = concept === null && slice === index;
              return (
                <th
                  key={index}
                  scope="col"
                  role="columnheader"
                  class="lloom-matrix-slice"
                  aria-label={words}
                  aria-selected={current}
                  data-words={words}
                  {...props({ row: 0, column: index + 1 }, () => store.show(null, index))}
                >
                  <span class="lloom-matrix-label">
                    <Breakable text={label} />
                  </span>
                  <span class="lloom-matrix-size">{count(sizes[index] ?? 0)}</span>
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={row.id} role="row" class={row.place < 0 ? "lloom-matrix-outliers" : undefined}>
              <th
                scope="row"
                role="rowheader"
                class="lloom-matrix-concept"
                aria-selected={concept === row.id && slice === null}
                aria-label={`${row.name}: ${count(row.matches)} of ${counted(row.scored, "document")}, ${percent(row.matches, row.scored)}`}
                title={`${row.name}\n${row.criteria}`}
                {...props({ row: index + 1, column: 0 }, () => store.show(row.id))}
              >
                <span class="lloom-matrix-heading">
                  <span class="lloom-matrix-name">{row.name}</span>
                  <span class="lloom-matrix-total">{count(row.matches)}</span>
                </span>
              </th>
              {row.cells.map((cell) => {
                const words = cellInWords(row, cell, labels[cell.slice] ?? "", norm);
                return (
                  <td
                    key={cell.slice}
                    role="gridcell"
                    class="lloom-matrix-cell"
                    aria-label={words}
                    aria-selected={concept === row.id && slice === cell.slice}
                    data-words={words}
                    data-concept={row.id}
                    data-slice={cell.slice}
                    {...props({ row: index + 1, column: cell.slice + 1 }, () => store.show(row.id, cell.slice))}
                  >
                    <MatrixMark cell={cell} row={row} largest={largest} norm={norm} drawn={matrix} />
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
      {tip !== null && (
        <div class="lloom-tip" style={{ left: `${tip.x}px`, top: `${tip.y}px` }} aria-hidden="true">
          {tip.text}
        </div>
      )}
    </div>
  );
}

function cellAt(table: HTMLElement | null, { row, column }: Place): HTMLElement | null {
  return table?.querySelector<HTMLElement>(`[data-place="${row}:${column}"]`) ?? null;
}

/** Where an arrow, Home or End key leads; null for other keys. There is nothing at row 0, column 0. */
function step(event: KeyboardEvent, { row, column }: Place, lastRow: number, lastColumn: number): Place | null {
  const first = row === 0 ? 1 : 0;
  const all = event.ctrlKey || event.metaKey;
  switch (event.key) {
    case "ArrowRight":
      return { row, column: Math.min(column + 1, lastColumn) };
    case "ArrowLeft":
      return { row, column: Math.max(column - 1, first) };
    case "ArrowDown":
      return { row: Math.min(row + 1, lastRow), column };
    case "ArrowUp":
      return { row: Math.max(row - 1, column === 0 ? 1 : 0), column };
    case "Home":
      return { row: all ? 1 : row, column: all ? 0 : first };
    case "End":
      return { row: all ? lastRow : row, column: lastColumn };
    default:
      return null;
  }
}

function tipOver(cell: HTMLElement): Tip {
  const frame = cell.closest<HTMLElement>(".lloom-matrix-scroll") as HTMLElement;
  const outer = frame.getBoundingClientRect();
  const inner = cell.getBoundingClientRect();
  const half = Math.min(120, outer.width / 2);
  const middle = inner.left - outer.left + frame.scrollLeft + inner.width / 2;
  const x = Math.min(Math.max(middle, frame.scrollLeft + half), frame.scrollLeft + frame.clientWidth - half);
  return { text: cell.dataset["words"] ?? "", x, y: inner.bottom - outer.top + frame.scrollTop + 2 };
}
