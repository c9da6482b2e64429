"""The event log of the codebook in words: past changes, and what undo and redo will do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from text_lloom.widget.snapshot import Change, History
from text_lloom.widget.spans import shown_text

if TYPE_CHECKING:
    from text_lloom.concept import Codebook, Concept, Event

__all__ = ["history_of", "in_words"]

_MOST_EVENTS: Final = 500
_NAMED_AT_MOST: Final = 3


def history_of(codebook: Codebook) -> History:
    """The 500 latest changes to the concepts of a session."""
    events = codebook.events
    undone = codebook.undone
    return History(
        undo=in_words(events[-1]) if events else None,
        redo=in_words(undone[-1]) if undone else None,
        events=tuple(Change(event.kind, event.at, in_words(event)) for event in events[-_MOST_EVENTS:]),
    )


def in_words(event: Event) -> str:
    """A change in a few words, such as `Rename “Late buses” to “Buses”`."""
    before, after = ([concept for _, concept in part] for part in (event.removed, event.added))
    match event.kind:
        case "rename" if before and after:
            text = f"Rename {_quoted(before)} to {_quoted(after)}"
        case "edit":
            text = f"Change the criterion of {_quoted(after)}"
        case "merge":
            text = f"Merge {_quoted(before)} into {_quoted(after)}"
        case "split":
            text = f"Split {_quoted(before)} into {_quoted(after)}"
        case "remove":
            text = f"Remove {_quoted(before)}"
        case "add":
            text = f"Add {_quoted(after)}"
        case _:
            text = event.kind.capitalize()
    return shown_text(f"{text} ({event.note})" if event.note else text)


def _quoted(concepts: Sequence[Concept]) -> str:
    names = [f"“{concept.name}”" for concept in concepts[:_NAMED_AT_MOST]]
    if len(concepts) > _NAMED_AT_MOST:
        names.append(f"{len(concepts) - _NAMED_AT_MOST} more")
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
