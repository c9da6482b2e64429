/** A few choices of which one is taken, as a row of buttons. */

interface Props<T extends string> {
  label: string;
  choices: readonly { value: T; name: string; title?: string }[];
  value: T;
  onChoose: (value: T) => void;
}

export function Segments<T extends string>({ label, choices, value, onChoose }: Props<T>) {
  return (
    <div class="lloom-segments" role="group" aria-label={label}>
      {choices.map((choice) => (
        <button
          key={choice.value}
          type="button"
          class="lloom-button"
          aria-pressed={choice.value === value}
          title={choice.title}
          onClick={() => onChoose(choice.value)}
        >
          {choice.name}
        </button>
      ))}
    </div>
  );
}
