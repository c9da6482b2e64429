/** The filter of one metadata column: its labels, what its texts contain, or a range of numbers or dates. */

import { withFilter } from "../filters";
import { day } from "../format";
import type { ColumnFilter, ColumnInfo } from "../protocol";
import type { Store } from "../store";
import { LabelFilter } from "./LabelFilter";
import { TextFilter } from "./TextFilter";

interface Props {
  store: Store;
  column: ColumnInfo;
}

export function ColumnFilterField({ store, column }: Props) {
  const { columns } = store.state.value;
  const filter = Object.hasOwn(columns, column.name) ? (columns[column.name] ?? {}) : {};
  const change = (next: ColumnFilter): void =>
    store.update({ columns: withFilter(store.state.value.columns, column.name, next) });
  if (column.kind === "category") return <LabelFilter store={store} column={column} filter={filter} onChange={change} />;
  if (column.kind === "text") return <TextFilter name={column.name} filter={filter} onChange={change} />;
  const date = column.kind === "date";
  const end = (name: "min" | "max", label: string) => (
    <label class="lloom-range-end">
      <span class="lloom-label">{label}</span>
      <input
        class="lloom-input lloom-number"
        type={date ? "date" : "number"}
        step="any"
        max={date ? "9999-12-31" : undefined}
        aria-label={`${column.name} ${label}`}
        value={written(filter[name], date)}
        onChange={(event) => {
          const { [name]: _, ...rest } = filter;
          const value = read(event.currentTarget.value, date, name);
          change(value === null ? rest : { ...rest, [name]: value });
        }}
      />
    </label>
  );
  return (
    <fieldset class="lloom-filter">
      <legend class="lloom-caption">{column.name}</legend>
      <div class="lloom-range">
        {end("min", "from")}
        {end("max", "to")}
      </div>
    </fieldset>
  );
}

const DAY_MS = 86_400_000;

/** A bound from its field, null when empty; the last day of a range counts whole. */
function read(value: string, date: boolean, end: "min" | "max"): number | null {
  if (value === "") return null;
  const number = date ? Date.parse(value) + (end === "max" ? DAY_MS - 1 : 0) : Number(value);
  return Number.isFinite(number) ? number : null;
}

function written(value: number | undefined, date: boolean): string {
  if (value === undefined) return "";
  return date ? day(value) : String(value);
}
