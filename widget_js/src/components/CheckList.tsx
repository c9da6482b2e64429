/** A list of choices of which any may be taken; none taken means no filter. */

interface Props<T> {
  name: string;
  choices: readonly { value: T; name: string; note?: string }[];
  chosen: readonly T[];
  onChoose: (chosen: T[]) => void;
}

export function CheckList<T>({ name, choices, chosen, onChoose }: Props<T>) {
  return (
    <fieldset class="lloom-filter">
      <legend class="lloom-caption">{name}</legend>
      <div class="lloom-checks">
        {choices.map((choice, index) => {
          const on = chosen.includes(choice.value);
          const next = (): T[] => choices.map(({ value }) => value).filter((value) => (value === choice.value ? !on : chosen.includes(value)));
          return (
            <label key={index} class="lloom-check">
              <input type="checkbox" checked={on} onChange={() => onChoose(next())} />
              <span class="lloom-check-name">{choice.name}</span>
              {choice.note !== undefined && <span class="lloom-check-note">{choice.note}</span>}
            </label>
          );
        })}
      </div>
    </fieldset>
  );
}
