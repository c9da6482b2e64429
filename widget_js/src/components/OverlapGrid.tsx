/** All pairs of concepts as a triangle of cells, to be walked with the arrow keys. */

import { useRef, useState } from "preact/hooks";
import { jaccard, type Overlap, type PairIds } from "../overlap";

interface Props {
  overlap: Overlap;
  nameOf: (at: number) => string;
  chosen: PairIds | null;
  onChoose: (first: number, second: number) => void;
}

/** Up to this many concepts a cell has room for its number. */
const NUMBERED = 16;

export function OverlapGrid({ overlap, nameOf, chosen, onChoose }: Props) {
  const n = overlap.ids.length;
  const [focus, setFocus] = useState<readonly [number, number]>([1, 0]);
  const table = useRef<HTMLTableElement>(null);
  const [row, column] = [Math.min(focus[0], n - 1), Math.min(focus[1], n - 2, Math.max(0, focus[0] - 1))];
  const strongest = Math.max(...overlap.ids.flatMap((_, i) => overlap.ids.slice(0, i).map((__, j) => jaccard(overlap, i, j))), 1e-9);
  const move = (event: KeyboardEvent): void => {
    const to = moved(event.key, row, column, n);
    if (to === null) return;
    event.preventDefault();
    setFocus(to);
    table.current?.querySelector<HTMLElement>(`[data-cell="${to[0]} ${to[1]}"]`)?.focus();
  };
  return (
    <div class="lloom-overlap-scroll">
      <table ref={table} class="lloom-grid" role="grid" aria-label="Pairs of concepts" data-numbered={n <= NUMBERED} onKeyDown={move}>
        <thead>
          <tr>
            <td />
            {overlap.ids.slice(0, -1).map((id, j) => (
              <th key={id} scope="col" title={nameOf(j)}>
                <span aria-hidden="true">{j + 1}</span>
                <span class="lloom-unseen">{nameOf(j)}</span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {overlap.ids.map((id, i) => (
            <tr key={id}>
              <th scope="row" title={nameOf(i)}>
                <span class="lloom-grid-name">{nameOf(i)}</span>
                <span class="lloom-grid-number" aria-hidden="true">
                  {i + 1}
                </span>
              </th>
              {overlap.ids.slice(0, i).map((other, j) => {
                const both = overlap.both[i * n + j] as number;
                const share = jaccard(overlap, i, j);
                const text = `${nameOf(i)} and ${nameOf(j)}: ${both} in common, Jaccard ${share.toFixed(2)}`;
                const isChosen = chosen !== null && isPair(chosen, id, other);
                return (
                  <td key={other} role="gridcell" aria-selected={isChosen}>
                    <button
                      type="button"
                      class="lloom-grid-cell"
                      data-cell={`${i} ${j}`}
                      data-strong={share / strongest > 0.55}
                      style={{ "--lloom-share": `${Math.round((share / strongest) * 100)}%` }}
                      tabIndex={i === row && j === column ? 0 : -1}
                      aria-label={text}
                      title={text}
                      onFocus={() => setFocus([i, j])}
                      onClick={() => onChoose(j, i)}
                    >
                      {n <= NUMBERED && both > 0 ? both : ""}
                    </button>
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function isPair({ first, second }: PairIds, a: string, b: string): boolean {
  return (first === a && second === b) || (first === b && second === a);
}

/** Where a key leads within the triangle below the diagonal, or null. */
export function moved(key: string, row: number, column: number, n: number): [number, number] | null {
  switch (key) {
    case "ArrowUp":
      return [Math.max(column + 1, row - 1), column];
    case "ArrowDown":
      return [Math.min(n - 1, row + 1), column];
    case "ArrowLeft":
      return [row, Math.max(0, column - 1)];
    case "ArrowRight":
      return [row, Math.min(row - 1, column + 1)];
    case "Home":
      return [row, 0];
    case "End":
      return [row, row - 1];
    default:
      return null;
  }
}
