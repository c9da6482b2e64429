"""Concepts and the codebook: the ordered set of concepts of a session, with its event log."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, TypedDict

from text_lloom.errors import InputError, UnknownConcept

__all__ = ["Codebook", "Concept", "ConceptDict", "Event", "EventKind"]

_NAMESPACE = uuid.UUID("6f0a3a5e-3b8c-5c5e-9f0e-2d9e6a4b7c11")

EventKind = Literal["add", "rename", "edit", "merge", "split", "remove", "undo", "redo"]


class ConceptDict(TypedDict):
    """A concept as plain JSON values."""

    id: str
    name: str
    prompt: str
    summary: str
    example_ids: list[Hashable]
    active: bool
    seed: str | None
    merged_from: list[str]


@dataclass(slots=True)
class Concept:
    """A pattern in the documents: a name and an explicit criterion.

    Two concepts may have the same name, but never the same `id`.

    Attributes:
        name: A label of a few words.
        criteria: The inclusion criterion, a question that can be answered for one document.
        example_ids: Ids of documents that show the concept.
        summary: What the matching documents say; empty until scored.
        active: Whether the concept is selected for scoring.
        seed: The seed with which it was generated.
        merged_from: Ids of the concepts that were merged into it.
        id: A UUID string.
    """

    name: str
    criteria: str
    example_ids: list[Hashable] = field(default_factory=list)
    summary: str = ""
    active: bool = False
    seed: str | None = None
    merged_from: list[str] = field(default_factory=list)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def prompt(self) -> str:
        """The inclusion criterion, under the name that the columns of the score table use."""
        return self.criteria

    def to_dict(self) -> ConceptDict:
        """The concept as plain JSON values (ids keep their type)."""
        return {
            "id": self.id,
            "name": self.name,
            "prompt": self.criteria,
            "summary": self.summary,
            "example_ids": list(self.example_ids),
            "active": self.active,
            "seed": self.seed,
            "merged_from": list(self.merged_from),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> Concept:
        """A concept from plain values.

        Args:
            fields: The keys of `to_dict`; only `name` and `prompt` (or `criteria`) are required.

        Raises:
            InputError: When a name or a criterion is missing.
        """
        name = str(fields.get("name") or "").strip()
        criteria = str(fields.get("prompt") or fields.get("criteria") or "").strip()
        if not name or not criteria:
            raise InputError(
                f"A concept needs a name and a criterion, but got name={name!r}, criteria={criteria!r}. "
                f"Give both, for example name='Late buses', prompt='Does the text say that buses run late?'."
            )
        seed = fields.get("seed")
        return cls(
            name=name,
            criteria=criteria,
            example_ids=_listed(fields.get("example_ids")),
            summary=str(fields.get("summary") or ""),
            active=bool(fields.get("active", False)),
            seed=None if seed is None else str(seed),
            merged_from=[str(i) for i in _listed(fields.get("merged_from"))],
            id=str(fields.get("id") or uuid.uuid4()),
        )


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a codebook.

    Attributes:
        kind: What was done.
        at: When, ISO 8601 in UTC.
        removed: The concepts as they were before, with their positions.
        added: The concepts as they are after, with their positions.
        note: Why, in the user's words.
    """

    kind: EventKind
    at: str
    removed: tuple[tuple[int, Concept], ...]
    added: tuple[tuple[int, Concept], ...]
    note: str = ""

    def __repr__(self) -> str:
        names = [concept.name for _, concept in (self.added or self.removed)]
        return f"<Event: {self.kind} {', '.join(map(repr, names[:5]))}{', …' if len(names) > 5 else ''}>"


class Codebook(Mapping[str, Concept]):
    """The ordered concepts of a session: a mapping from concept id to `Concept`.

    `l.concepts["Late buses"]` takes a name as well, if only one concept has it.

    Every change is written to an event log and can be undone and redone. Selecting a concept for
    scoring (`concept.active = True`) is not a change of the codebook and is not logged.
    """

    def __init__(self, concepts: Iterable[Concept] = ()) -> None:
        self._concepts: list[Concept] = []
        self._events: list[Event] = []
        self._undone: list[Event] = []
        self._made = 0
        for concept in concepts:
            self._insert(len(self._concepts), concept)

    def __getitem__(self, concept: str) -> Concept:
        """The concept with that id or name.

        Raises:
            UnknownConcept: When there is none (also a `KeyError`); says which name is nearest.
            InputError: When several have that name.
        """
        found = self.named(concept)
        if len(found) > 1:
            raise InputError(
                f"{len(found)} concepts are called {concept!r}; name the one by its id: "
                f"{', '.join(one.id for one in found)}."
            )
        if not found:
            known = [*(one.name for one in self._concepts), *(one.id for one in self._concepts)]
            raise UnknownConcept(concept, known, what="concept")
        return found[0]

    def __contains__(self, concept: object) -> bool:
        return any(concept in (one.id, one.name) for one in self._concepts)

    def __iter__(self) -> Iterator[str]:
        return iter([concept.id for concept in self._concepts])

    def __len__(self) -> int:
        return len(self._concepts)

    def __repr__(self) -> str:
        names = [repr(concept.name) for concept in self._concepts]
        more = f", and {len(names) - 10} more" if len(names) > 10 else ""
        return f"<Codebook: {', '.join(names[:10]) or 'no concepts'}{more}>"

    @property
    def events(self) -> tuple[Event, ...]:
        """The changes, oldest first."""
        return tuple(self._events)

    @property
    def undone(self) -> tuple[Event, ...]:
        """The undone changes that can be redone; `redo` starts with the last one."""
        return tuple(self._undone)

    @property
    def active(self) -> list[Concept]:
        """The concepts selected for scoring, in order."""
        return [concept for concept in self._concepts if concept.active]

    def find(self, concept: str) -> Concept:
        """The same as `codebook[concept]`."""
        return self[concept]

    def named(self, concept: str) -> list[Concept]:
        """The concept with that id, or all with that name."""
        by_id = [one for one in self._concepts if one.id == concept]
        return by_id or [one for one in self._concepts if one.name == concept]

    def new_id(self, name: str, criteria: str) -> str:
        """A reproducible id: creating the same concepts in the same order gives the same ids."""
        self._made += 1
        return str(uuid.uuid5(_NAMESPACE, json.dumps([self._made, name, criteria])))

    def add(
        self,
        name: str,
        criteria: str,
        *,
        example_ids: Sequence[Hashable] = (),
        active: bool = False,
        seed: str | None = None,
        note: str = "",
    ) -> Concept:
        """Add a concept at the end and return it."""
        concept = Concept.from_dict({"name": name, "criteria": criteria})
        concept.id = self.new_id(concept.name, concept.criteria)
        concept.example_ids, concept.active, concept.seed = list(example_ids), active, seed
        self._apply("add", [], [(len(self), concept)], note)
        return concept

    def extend(self, concepts: Sequence[Concept], *, note: str = "") -> None:
        """Add several concepts at the end, as one change."""
        self._apply("add", [], [(len(self) + i, c) for i, c in enumerate(concepts)], note)

    def rename(self, concept_id: str, name: str, *, note: str = "") -> Concept:
        """Give a concept another name; its scores stay valid."""
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"A concept's name must be text and not blank, but is {name!r}.")
        return self._change("rename", concept_id, note, name=name.strip())

    def edit(self, concept_id: str, criteria: str, *, note: str = "") -> Concept:
        """Give a concept another criterion; its scores become stale."""
        if not isinstance(criteria, str) or not criteria.strip():
            raise InputError(f"A concept's criterion must be text and not blank, but is {criteria!r}.")
        return self._change("edit", concept_id, note, criteria=criteria.strip(), summary="")

    def merge(
        self,
        concept_ids: Sequence[str],
        *,
        name: str | None = None,
        criteria: str | None = None,
        note: str = "",
    ) -> Concept:
        """Replace several concepts by one at the position of the first.

        The merged concept has a new id, the examples of all, and their ids in `merged_from`. Without `name`
        and `criteria` it keeps those of the first.
        """
        parts = self._distinct(concept_ids)
        if len(parts) < 2:
            raise InputError(f"Merging needs at least two different concepts, but got {len(parts)}.")
        parts.sort(key=lambda concept: self._position(concept.id))
        name, criteria = name or parts[0].name, criteria or parts[0].criteria
        merged = Concept(
            name=name,
            criteria=criteria,
            example_ids=list(dict.fromkeys(i for part in parts for i in part.example_ids)),
            active=any(part.active for part in parts),
            seed=parts[0].seed,
            merged_from=[i for part in parts for i in (*part.merged_from, part.id)],
            id=self.new_id(name, criteria),
        )
        removed = [(self._position(part.id), part) for part in parts]
        self._apply("merge", removed, [(removed[0][0], merged)], note)
        return merged

    def split(
        self,
        concept_id: str,
        parts: Sequence[tuple[str, str]],
        *,
        example_ids: Sequence[Sequence[Hashable]] = (),
        note: str = "",
    ) -> list[Concept]:
        """Replace a concept by several.

        Args:
            concept_id: The concept to split.
            parts: Name and criterion of each new concept.
            example_ids: The examples of each part; a part without examples gets those of the old concept.
            note: Why.
        """
        if len(parts) < 2:
            raise InputError(f"Splitting needs at least two parts, but got {len(parts)}.")
        whole = self[concept_id]
        position = self._position(whole.id)
        made = []
        for at, (name, criteria) in enumerate(parts):
            part = Concept.from_dict({"name": name, "criteria": criteria, "active": whole.active})
            part.id = self.new_id(part.name, part.criteria)
            own = example_ids[at] if at < len(example_ids) else ()
            part.example_ids, part.seed = list(own or whole.example_ids), whole.seed
            made.append(part)
        self._apply("split", [(position, whole)], [(position + i, p) for i, p in enumerate(made)], note)
        return made

    def remove(self, concept_id: str, *, note: str = "") -> Concept:
        """Remove a concept and return it."""
        concept = self[concept_id]
        self._apply("remove", [(self._position(concept.id), concept)], [], note)
        return concept

    def remove_all(self, concept_ids: Sequence[str], *, note: str = "") -> list[Concept]:
        """Remove several concepts, as one change, and return them."""
        gone = self._distinct(concept_ids)
        if gone:
            self._apply("remove", [(self._position(concept.id), concept) for concept in gone], [], note)
        return gone

    def undo(self) -> Event | None:
        """Undo the last change and return it; `None` if there is nothing to undo."""
        if not self._events:
            return None
        event = self._events.pop()
        self._swap(event.added, event.removed)
        self._undone.append(event)
        return event

    def redo(self) -> Event | None:
        """Redo the change that was undone last and return it; `None` if there is nothing to redo."""
        if not self._undone:
            return None
        event = self._undone.pop()
        self._swap(event.removed, event.added)
        self._events.append(event)
        return event

    def to_json(self, *, write_id: Callable[[Hashable], object] | None = None) -> str:
        """The codebook and its event log as JSON text.

        Args:
            write_id: Makes a JSON value of an example id; required if ids are not JSON scalars.
        """

        def plain(concept: Concept) -> ConceptDict:
            fields = concept.to_dict()
            if write_id is not None:
                fields["example_ids"] = [write_id(i) for i in concept.example_ids]
            return fields

        def logged(events: Iterable[Event]) -> list[dict[str, object]]:
            return [
                {
                    "kind": event.kind,
                    "at": event.at,
                    "note": event.note,
                    "removed": [[at, plain(c)] for at, c in event.removed],
                    "added": [[at, plain(c)] for at, c in event.added],
                }
                for event in events
            ]

        content = {
            "format": "lloom-codebook",
            "version": 1,
            "made": self._made,
            "concepts": [plain(concept) for concept in self._concepts],
            "events": logged(self._events),
            "undone": logged(self._undone),
        }
        return json.dumps(content, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str, *, read_id: Callable[[object], Hashable] | None = None) -> Codebook:
        """A codebook from `to_json`, or from a plain JSON list of concepts with name and criteria.

        Args:
            text: JSON text.
            read_id: Makes an example id of a JSON value; the inverse of `write_id` of `to_json`.

        Raises:
            InputError: When the text is neither.
        """
        try:
            content = json.loads(text)
        except ValueError as error:
            raise InputError(f"A codebook must be JSON text, but this is not JSON: {error}.") from None
        concepts = content if isinstance(content, list) else None
        if isinstance(content, dict):
            concepts = content.get("concepts")
        if not isinstance(concepts, list) or not all(isinstance(c, dict) for c in concepts):
            raise InputError(
                "A codebook must be a JSON list of concepts with name and criteria, or an object with such a "
                "list under 'concepts', but this is neither."
            )
        book = cls(_stored(c, read_id) for c in concepts)
        if isinstance(content, dict):
            book._made = int(content.get("made", len(concepts)))
            book._events = [_event(e, read_id) for e in content.get("events", [])]
            book._undone = [_event(e, read_id) for e in content.get("undone", [])]
        return book

    def _distinct(self, concepts: Sequence[str]) -> list[Concept]:
        """The concepts with these ids or names, each once."""
        return list({one.id: one for one in (self[concept] for concept in concepts)}.values())

    def _change(self, kind: EventKind, concept_id: str, note: str, **fields: str) -> Concept:
        before = self[concept_id]
        position = self._position(before.id)
        after = replace(before, **fields)  # type: ignore[arg-type]
        self._apply(kind, [(position, before)], [(position, after)], note)
        return after

    def _apply(
        self,
        kind: EventKind,
        removed: Sequence[tuple[int, Concept]],
        added: Sequence[tuple[int, Concept]],
        note: str,
    ) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        event = Event(kind, at, tuple(removed), tuple(added), note)
        self._swap(event.removed, event.added)
        self._events.append(event)
        self._undone.clear()

    def _swap(self, removed: Sequence[tuple[int, Concept]], added: Sequence[tuple[int, Concept]]) -> None:
        gone = {concept.id for _, concept in removed}
        for concept in self._concepts:
            for _, other in added:
                if other.id == concept.id and other is not concept:
                    _carry_over(concept, other)
        self._concepts = [concept for concept in self._concepts if concept.id not in gone]
        for position, concept in sorted(added, key=lambda pair: pair[0]):
            self._insert(position, concept)

    def _insert(self, position: int, concept: Concept) -> None:
        if any(other.id == concept.id for other in self._concepts):
            raise InputError(f"The codebook already has a concept with id {concept.id!r}.")
        self._concepts.insert(position, concept)

    def _position(self, concept_id: str) -> int:
        return next(i for i, concept in enumerate(self._concepts) if concept.id == concept_id)


def _carry_over(concept: Concept, other: Concept) -> None:
    """Copy what a change does not affect: `active`, and the summary if the criterion is the same."""
    other.active = concept.active
    if other.criteria == concept.criteria:
        other.summary = concept.summary


def _listed(value: object) -> list[Hashable]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _stored(fields: Mapping[str, object], read_id: Callable[[object], Hashable] | None) -> Concept:
    """A concept from JSON, with every character that `to_json` wrote."""
    if fields.keys() >= ConceptDict.__annotations__.keys():
        # Scores belong to the exact text of a criterion, so nothing is stripped here.
        concept = Concept.from_dict({**fields, "name": "-", "prompt": "-"})
        concept.name, concept.criteria = str(fields["name"]), str(fields["prompt"])
    else:
        concept = Concept.from_dict(fields)
    if read_id is not None:
        concept.example_ids = [read_id(i) for i in concept.example_ids]
    return concept


def _event(fields: Mapping[str, object], read_id: Callable[[object], Hashable] | None) -> Event:
    def concepts(key: str) -> tuple[tuple[int, Concept], ...]:
        pairs = fields.get(key)
        return tuple((int(at), _stored(c, read_id)) for at, c in pairs) if isinstance(pairs, list) else ()

    kind: EventKind = fields["kind"]  # type: ignore[assignment]
    return Event(kind, str(fields["at"]), concepts("removed"), concepts("added"), str(fields.get("note", "")))
