/** A concept of the overview that has no scores. */

import type { Concept } from "../protocol";

interface Props {
  concept: Concept;
  current: boolean;
  onOpen: () => void;
}

export function UnscoredRow({ concept: { id, name, criteria }, current, onOpen }: Props) {
  return (
    <li>
      <button
        type="button"
        class="lloom-bar-row lloom-bar-unscored"
        aria-current={current}
        title={`${name}\n${criteria}`}
        data-concept={id}
        onClick={onOpen}
      >
        <span class="lloom-bar-name">{name}</span>
        <span class="lloom-note">not scored</span>
      </button>
    </li>
  );
}
