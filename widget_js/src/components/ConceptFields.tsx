/** The two fields that make a concept: its name and its criterion. */

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Draft } from "../protocol";

interface Props {
  value: Draft;
  onChange: (value: Draft) => void;
  /** Puts the cursor into the name when the fields appear. */
  focus?: boolean;
  /** Says which fields these are where several stand together: "Part 1". */
  of?: string;
}

export function ConceptFields({ value, onChange, focus = false, of }: Props) {
  const name = useRef<HTMLInputElement>(null);
  // In a dialog the browser does this itself, by `autofocus`, once the dialog is shown.
  useLayoutEffect(() => {
    if (focus) name.current?.focus();
  }, []);
  const lead = of === undefined ? "" : `${of}: `;
  return (
    <div class="lloom-fields">
      <label class="lloom-field">
        <span class="lloom-label">
          <span class="lloom-unseen">{lead}</span>Name
        </span>
        <input
          ref={name}
          class="lloom-input"
          value={value.name}
          autofocus={focus}
          aria-invalid={value.name.trim() === ""}
          onInput={(event) => onChange({ ...value, name: event.currentTarget.value })}
        />
      </label>
      <label class="lloom-field">
        <span class="lloom-label">
          <span class="lloom-unseen">{lead}</span>Criterion
        </span>
        <textarea
          class="lloom-input"
          rows={3}
          value={value.criteria}
          aria-invalid={value.criteria.trim() === ""}
          placeholder="A question that can be answered for one document: Does the text …?"
          onInput={(event) => onChange({ ...value, criteria: event.currentTarget.value })}
        />
      </label>
    </div>
  );
}

/** Why a draft cannot be kept yet, or null. */
export function lacking({ name, criteria }: Draft): string | null {
  if (name.trim() === "") return "A concept needs a name.";
  if (criteria.trim() === "") return "A concept needs a criterion.";
  return null;
}

export function trimmed({ name, criteria }: Draft): Draft {
  return { name: name.trim(), criteria: criteria.trim() };
}
