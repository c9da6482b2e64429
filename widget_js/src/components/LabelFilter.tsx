/** The filter of a category: its labels, which are asked for when they did not come with the traits. */

import type { ColumnFilter, ColumnInfo } from "../protocol";
import type { Store } from "../store";
import { CheckList } from "./CheckList";
import { LoadProblem } from "./LoadProblem";

interface Props {
  store: Store;
  column: ColumnInfo;
  filter: ColumnFilter;
  onChange: (filter: ColumnFilter) => void;
}

export function LabelFilter({ store, column, filter, onChange }: Props) {
  const loading = store.documents.column(column.name);
  const state = loading.state.value;
  const labels = column.labels ?? (state.status === "ready" ? state.value.labels : null);
  if (state.status === "failed") return <LoadProblem problem={state} onRetry={loading.load} />;
  return (
    <CheckList
      name={column.name}
      choices={[
        ...(labels ?? []).map((label) => ({ value: label as string | null, name: label })),
        { value: null, name: "missing" },
      ]}
      chosen={filter.values ?? []}
      onChoose={(values) => {
        const { values: _, ...rest } = filter;
        onChange(values.length === 0 ? rest : { ...rest, values });
      }}
    />
  );
}
