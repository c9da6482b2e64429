/** What was done to the concepts, newest first, with undo and redo. */

import type { HistoryEvent } from "../protocol";
import type { Store } from "../store";
import { Empty } from "./Empty";
import { UndoBar } from "./UndoBar";

export function HistoryList({ store }: { store: Store }) {
  const { events } = store.history.value;
  return (
    <section class="lloom-history" aria-label="History">
      {store.editable.value && <UndoBar store={store} />}
      {events.length === 0 ? (
        <Empty title="Nothing was changed yet">Each change of a concept is listed here and can be undone.</Empty>
      ) : (
        <ol class="lloom-events" reversed>
          {[...events].reverse().map((event, at) => (
            <li key={events.length - at} class="lloom-event">
              <Time event={event} />
              <span class="lloom-event-text">{event.text}</span>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

function Time({ event }: { event: HistoryEvent }) {
  const at = new Date(event.at);
  const known = !Number.isNaN(at.getTime());
  return (
    <time class="lloom-event-time" dateTime={event.at}>
      {known ? at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : event.at}
    </time>
  );
}
