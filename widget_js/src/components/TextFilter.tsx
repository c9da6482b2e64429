/** The filter of a column of texts: what they contain. */

import type { ColumnFilter } from "../protocol";
import { useTyped } from "../typing";

interface Props {
  name: string;
  filter: ColumnFilter;
  onChange: (filter: ColumnFilter) => void;
}

export function TextFilter({ name, filter, onChange }: Props) {
  const typed = useTyped(filter.contains ?? "", (contains) => {
    const { contains: _, ...rest } = filter;
    onChange(contains.trim() === "" ? rest : { ...rest, contains });
  });
  return (
    <fieldset class="lloom-filter">
      <legend class="lloom-caption">{name}</legend>
      <input class="lloom-input lloom-contains" type="search" placeholder="contains" aria-label={`${name} contains`} {...typed} />
    </fieldset>
  );
}
