/** How many documents have each score, with the threshold from which they match: dragged, or moved by arrow keys. */

import { useRef } from "preact/hooks";
import { count } from "../format";
import { codeOf, histogram } from "../scores";
import type { Store } from "../store";

interface Props {
  store: Store;
  /** Place in the tally, -1 for the outliers (then it is the best score on any concept). */
  place: number;
  slice: number | null;
}

const SCORES = [0, 0.25, 0.5, 0.75, 1];
const BAR = 44;
const TALL = 64;
/** Room for the threshold's knob and, under it, the count of the tallest bar. */
const HEAD = 30;
const FOOT = 20;
const WIDE = BAR * SCORES.length;

export function ScoreHistogram({ store, place, slice }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const { threshold } = store.state.value;
  const bins = histogram(store.tally.value, place, slice);
  const from = codeOf(threshold);
  const most = Math.max(1, ...bins.slice(0, SCORES.length));
  const unscored = bins[SCORES.length] ?? 0;
  const outliers = place < 0;
  const isMatch = (code: number): boolean => (outliers ? code < from : code >= from);

  const choose = (code: number): void => {
    const next = Math.min(4, Math.max(1, code)) / 4;
    if (next !== store.state.value.threshold) store.update({ threshold: next });
  };
  const drag = (event: PointerEvent): void => {
    const left = frame.current?.getBoundingClientRect().left ?? 0;
    choose(Math.round((event.clientX - left) / BAR));
  };
  const onBar = (event: MouseEvent): void => {
    const left = frame.current?.getBoundingClientRect().left ?? 0;
    choose(Math.floor((event.clientX - left) / BAR));
  };
  const onPointerDown = (event: PointerEvent): void => {
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    event.preventDefault();
    (event.currentTarget as HTMLElement).focus();
  };
  const onPointerMove = (event: PointerEvent): void => {
    if ((event.currentTarget as HTMLElement).hasPointerCapture(event.pointerId)) drag(event);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    const next = event.key === "Home" ? 1 : event.key === "End" ? 4 : step === undefined ? null : from + step;
    if (next === null) return;
    event.preventDefault();
    choose(next);
  };
  return (
    <figure class="lloom-histogram">
      <figcaption class="lloom-caption">{outliers ? "Best score on any concept" : "Scores"}</figcaption>
      <div class="lloom-histogram-frame" ref={frame} style={{ width: `${WIDE}px` }}>
        <svg width={WIDE} height={HEAD + TALL + FOOT} role="img" aria-label={inWords(bins)} onClick={onBar}>
          {SCORES.map((score, code) => {
            const n = bins[code] ?? 0;
            const height = n === 0 ? 0 : Math.max(1, (TALL * n) / most);
            const middle = code * BAR + BAR / 2;
            return (
              <g key={code} class={isMatch(code) ? "lloom-bin lloom-bin--match" : "lloom-bin"}>
                <rect x={code * BAR + 4} y={HEAD + TALL - height} width={BAR - 8} height={height} rx={2} />
                <text class="lloom-bin-count" x={middle} y={HEAD + TALL - height - 4}>
                  {count(n)}
                </text>
                <text class="lloom-bin-score" x={middle} y={HEAD + TALL + 14}>
                  {score}
                </text>
              </g>
            );
          })}
          <line class="lloom-axis" x1={0} x2={WIDE} y1={HEAD + TALL + 0.5} y2={HEAD + TALL + 0.5} />
        </svg>
        <div
          class="lloom-threshold"
          role="slider"
          tabIndex={0}
          aria-label="Threshold: score from which a document matches"
          aria-valuemin={0.25}
          aria-valuemax={1}
          aria-valuenow={threshold}
          aria-valuetext={`${threshold}`}
          title="Drag, or use the arrow keys: documents match from this score"
          style={{ left: `${from * BAR}px` }}
          onPointerDown={onPointerDown}
          onPointerMove={onPointerMove}
          onKeyDown={onKeyDown}
        />
      </div>
      <p class="lloom-note">
        {outliers ? "Outliers lie below" : "Matches from"} <strong>{threshold}</strong>
        {unscored > 0 && `; ${count(unscored)} not scored`}
      </p>
    </figure>
  );
}

function inWords(bins: Uint32Array): string {
  return `Documents by score: ${SCORES.map((score, code) => `${score}: ${count(bins[code] ?? 0)}`).join(", ")}`;
}
