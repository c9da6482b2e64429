"""What a typed question to a model is: inputs, prompt template, answer schema, parser."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from typing import Annotated, ClassVar, Final, Generic, Literal, Self, TypeAlias, TypeVar, cast, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema

from text_lloom.errors import BadAnswer, PromptError, UnknownName
from text_lloom.quotes import encodable, harmless

__all__ = [
    "CUT_OFF",
    "Answer",
    "DocumentTask",
    "Fenced",
    "Label",
    "LineNumber",
    "LongDocuments",
    "ReplySchema",
    "Stage",
    "Task",
    "Template",
    "WindowedTask",
    "check_column_names",
    "check_long_documents",
    "check_task",
    "fence",
    "label_number",
    "read_json",
    "tags_in",
]

Answer = TypeVar("Answer")

_FIELD = re.compile(r"\{\{|\}\}|\{([A-Za-z_]\w*)\}")
_TAG = re.compile(r"<\s*/?\s*([A-Za-z][\w.-]*)")
_FENCE = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
_LABEL = re.compile(r"\d+")
_NEARLY = 0.8
"""A name in braces at least this similar to a field (1 = equal) counts as a misspelt field."""
CUT_OFF = "The answer was cut off before its end: it must be briefer, or max_tokens= larger."


class Fenced(str):
    """The value of a field that has documents between tags `document`, each of which went through `fence`."""

    __slots__ = ()


def tags_in(text: str) -> frozenset[str]:
    """The names of the tags in a text, in lower case."""
    return frozenset(name.lower() for name in _TAG.findall(text))


def fence(value: str, tags: Collection[str] = ()) -> str:
    """A text as it can stand between tags: these and `document` neither begin nor end in it."""
    if "<" not in value:
        return value
    kept = ("document",) if isinstance(value, Fenced) else ()
    made_plain = {"document", *tags}.difference(kept)

    def replacement(match: re.Match[str]) -> str:
        token = match.group(0)
        return f"‹{token[1:]}" if match.group(1).lower() in made_plain else token

    return _TAG.sub(replacement, value)


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt with named fields such as `{ex}`.

    Fields are replaced in the template alone, so a document may contain braces. `{{` and `}}` stand for
    single braces. A name in braces that is not a field stays as it is. The tags of the template do not
    occur in the values of its fields: there, they begin with `‹` instead of `<`.

    Attributes:
        text: The template.
        fields: Every field that can be used.
        required: The fields that a custom template must have.
        columns: Columns of the documents that it names; only in a prompt about one document.
        cells: The texts of these columns, by document id and column.
    """

    text: str
    fields: tuple[str, ...]
    required: tuple[str, ...]
    columns: tuple[str, ...] = ()
    cells: Mapping[Hashable, Mapping[str, str]] = field(default_factory=dict, compare=False, repr=False)

    def render(self, values: Mapping[str, str]) -> str:
        """The prompt with every field replaced by its value, without characters that cannot be sent."""
        tags = tags_in(self.text)

        def replacement(match: re.Match[str]) -> str:
            token = match.group(0)
            if token in ("{{", "}}"):
                return token[0]
            value = values.get(match.group(1))
            if value is None:
                return token
            return fence(value, tags)

        return encodable(_FIELD.sub(replacement, self.text))

    @staticmethod
    def names_in(text: str) -> list[str]:
        """The names in braces in a text, in order."""
        return list(dict.fromkeys(match.group(1) for match in _FIELD.finditer(text) if match.group(1)))

    def bound(self, cells: Mapping[Hashable, Mapping[str, str]]) -> Self:
        """This template with the texts of its columns, by document id and column."""
        return replace(self, cells=cells)

    def customised(self, text: str, *, step: str, columns: Sequence[str] = ()) -> Template:
        """This template with the user's text.

        Args:
            text: The user's text.
            step: The step that uses the prompt.
            columns: Columns of the documents that it may name.

        Raises:
            PromptError: When the text lacks a required field; names it and all required fields. When it
                names a column whose name cannot be a field.
            UnknownName: When a name in braces is neither a field nor a column.
        """
        found = self.names_in(text)
        missing = [name for name in self.required if name not in found]
        if missing:
            raise PromptError(
                f"The custom prompt for {step!r} lacks the field{'s' if len(missing) > 1 else ''} "
                f"{', '.join(f'{{{name}}}' for name in missing)}. It needs "
                f"{', '.join(f'{{{name}}}' for name in self.required)}; "
                f"see show_prompt({step!r}) for the default prompt."
            )
        check_column_names(text, columns)
        for name in found:
            if name not in self.fields and name not in columns:
                known = [*self.fields, *columns]
                raise UnknownName(
                    name, known, what=f"field of the prompt for {step!r}:", advice=_braces(name, known)
                )
        named = tuple(name for name in found if name not in self.fields)
        return Template(text, self.fields, self.required, named)


def check_column_names(text: str, columns: Sequence[str]) -> None:
    """Refuse a template that names a column whose name cannot be a field.

    Raises:
        PromptError: Names the column, and how to rename it.
    """
    for column in columns:
        if f"{{{column}}}" in text and column not in Template.names_in(text):
            better = "_".join(re.findall(r"\w+", column)) or "column"
            raise PromptError(
                f"The prompt names the column {column!r}, but the name of a field has no blanks or signs in "
                f"it. Rename the column: df.rename(columns={{{column!r}: {better!r}}})."
            )


def _braces(name: str, known: Sequence[str]) -> str:
    """What to do about an unknown name in braces."""
    near = get_close_matches(name, known, n=1, cutoff=_NEARLY)
    meant = f"Did you mean {near[0]!r}? " if near else ""
    return f"{meant}Braces that are no field are written twice: {{{{{name}}}}}. "


class ReplySchema(BaseModel):
    """Base of the answer schemas: JSON objects whose unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)


def label_number(value: object) -> object:
    """The number in a label such as `C3`, `"3"` or `C3: name`; anything else as it is."""
    if isinstance(value, str):
        found = _LABEL.search(value)
        return int(found.group(0)) if found else value
    return value


LineNumber = Annotated[int, BeforeValidator(label_number)]
"""The number of a line in a prompt; `3` and `"3"` are the same."""

Label = Annotated[int, BeforeValidator(label_number), WithJsonSchema({"type": "string"})]
"""The number in the label of a document or concept; `"C3"`, `"3"` and `3` are the same."""


LongDocuments: TypeAlias = Literal["windows", "cut", "refuse"]
"""What happens to documents that are too long for a model: they are read in overlapping windows, cut at the
end (which is marked), or not asked about."""

Stage: TypeAlias = Literal["generation", "scoring", "map", "evaluation"]
"""Which calls ask a task: `gen` and `select_auto`, `score`, a method with a question of its own (as `map`),
or `auto_eval`."""
_CLASS_ATTRIBUTES: Final = ("step", "stage", "template", "reply", "expected_tokens")


@dataclass(frozen=True)
class Task(ABC, Generic[Answer]):
    """A typed question; every task is a frozen dataclass.

    A model with a prompt interface answers `prompt()` with text that `parse()` turns into an answer;
    the local engine reads the task's own fields.

    Attributes:
        custom: A template to use instead of the task's own.
    """

    step: ClassVar[str]
    """Name of the step that the task belongs to, as in summaries and custom prompts."""
    stage: ClassVar[Stage]
    """Which calls ask it; they accept parameters and prompts for its step, and other calls do not."""
    template: ClassVar[Template]
    reply: ClassVar[type[ReplySchema]]
    """Schema of the JSON object that a model answers with."""
    expected_tokens: ClassVar[int]
    """Rough length in tokens of each of the `answer_units()` of an answer."""

    custom: Template | None = field(default=None, kw_only=True)

    def __init_subclass__(cls, *, is_base: bool = False) -> None:
        super().__init_subclass__()
        if not is_base:
            check_task(cls)

    def fields(self) -> Mapping[str, str]:
        """The values of the template's fields."""
        return {}

    def prompt(self) -> str:
        """The whole question as text."""
        template, values = self.custom or self.template, self.fields()
        if template.columns and template.cells:
            (doc_id,) = self.doc_ids
            values = {**template.cells[doc_id], **values}
        return template.render(values)

    def with_template(self, template: Template) -> Self:
        """The same question with another prompt."""
        return replace(self, custom=template)

    @abstractmethod
    def read(self, reply: ReplySchema) -> Answer:
        """The answer in a reply that follows the schema.

        Raises:
            BadAnswer: When the reply does not fit this question; the message tells the model why.
        """

    @property
    def doc_ids(self) -> tuple[Hashable, ...]:
        """Ids of the documents asked about."""
        return ()

    @property
    def concept_ids(self) -> tuple[str, ...]:
        """Ids of the concepts asked about."""
        return ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that may be cut when the prompt is too long."""
        return ()

    def with_texts(self, texts: Sequence[str]) -> Self:
        """The same question about shorter texts."""
        return self

    def answer_units(self) -> int:
        """How many pieces of about `expected_tokens` an answer has."""
        return 1

    def schema(self) -> Mapping[str, object] | None:
        """JSON schema of the reply, `None` if the reply is not JSON. Tasks of one type share one object."""
        return _schema(self.reply)

    def exact_schema(self) -> Mapping[str, object] | None:
        """JSON schema of the replies that fit this question, for models with constrained decoding.

        Questions of the same shape share one object.
        """
        return self.schema()

    @property
    def regex(self) -> str | None:
        """A pattern that the whole reply must match."""
        return None

    def parse(self, text: str) -> Answer:
        """The answer in a model's reply.

        Code fences around the JSON are dropped and broken JSON is repaired where that is possible.

        Raises:
            BadAnswer: When there is no JSON object, or it does not follow the schema or the question.
        """
        content = read_json(text)
        if isinstance(content, list) and len(self.reply.model_fields) == 1:
            content = {next(iter(self.reply.model_fields)): content}
        if not isinstance(content, dict):
            raise BadAnswer(f"Expected a JSON object, but got: {_excerpt(text)}")
        try:
            reply = self.reply.model_validate(content)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()[:5]
            )
            raise BadAnswer(f"The JSON does not follow the requested form: {problems}") from None
        return self.read(reply)


@dataclass(frozen=True)
class DocumentTask(Task[Answer], is_base=True):
    """A question about one document.

    Attributes:
        doc_id: Id of the document.
        text: Its text, which is cut when the prompt is too long.
    """

    doc_id: Hashable
    text: str

    @property
    def doc_ids(self) -> tuple[Hashable, ...]:
        return (self.doc_id,)

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.text,)

    def with_texts(self, texts: Sequence[str]) -> Self:
        return replace(self, text=texts[0])


class WindowedTask(Task[Answer], is_base=True):
    """A question whose documents can be read in parts when they are too long for one prompt."""

    @property
    @abstractmethod
    def long_documents(self) -> LongDocuments:
        """What happens to a document that is too long."""

    @abstractmethod
    def apart(self) -> Sequence[Self]:
        """The same question about each document by itself."""

    @abstractmethod
    def merge(self, parts: Sequence[Answer]) -> Answer:
        """The answer about whole documents from the answers about their windows, in order."""

    @abstractmethod
    def as_cut(self, answer: Answer, share: float) -> Answer:
        """The answer, marked as one about the first `share` of the text."""


def check_long_documents(given: object) -> LongDocuments:
    """`given`, if it says what happens to documents that are too long.

    Raises:
        UnknownName: When it is something else.
    """
    for known in get_args(LongDocuments):
        if given == known:
            return cast("LongDocuments", known)
    raise UnknownName(given, get_args(LongDocuments), what="long_documents")


def check_task(task: type[Task[Answer]]) -> None:
    """Refuse a task that lacks something; each task is checked when its class is defined.

    Raises:
        TypeError: Names the task and what it lacks.
    """
    for attribute in _CLASS_ATTRIBUTES:
        known = get_args(Stage) if attribute == "stage" else ()
        value = getattr(task, attribute, None)
        if value is None or (known and value not in known):
            listed = f", one of {', '.join(map(repr, known))}" if known else ""
            raise TypeError(
                f"The task {task.__name__} must define its class attribute {attribute!r}{listed}."
            )
    template = task.template
    lacking = [name for name in template.required if name not in Template.names_in(template.text)]
    if lacking:
        raise TypeError(
            f"The template of the task {task.__name__} lacks the field {{{lacking[0]}}}. Write it where its "
            f"value goes, or take it out of required=."
        )
    if task.texts is not Task.texts and task.with_texts is Task.with_texts:
        raise TypeError(
            f"The task {task.__name__} has texts, so it must define with_texts(), which gives the same "
            f"question about shorter texts."
        )


@cache
def _schema(reply: type[ReplySchema]) -> Mapping[str, object]:
    return reply.model_json_schema()


def read_json(text: str) -> object:
    """The JSON value in a reply, `""` when there is none; its texts are harmless (`quotes.harmless`).

    Repaired JSON counts only if it is an object, because a repair can turn plain prose into other values.

    Raises:
        BadAnswer: When an object has a key twice, with two values.
    """
    fenced = _FENCE.match(text)
    body = fenced.group(1) if fenced else text
    try:
        value: object = json.loads(body, object_pairs_hook=_without_doubt)
    except ValueError:
        import json_repair

        repaired: object = json_repair.loads(body)
        return _harmless(repaired) if isinstance(repaired, dict) else ""
    return _harmless(value) if "\\" in body else value  # only what is escaped is not seen in the text


def _without_doubt(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The object with these keys and values."""
    found = dict(pairs)
    if len(found) < len(pairs):
        for key, value in pairs:
            if found[key] != value:
                raise BadAnswer(f'The JSON gives "{key}" twice, with two values. Give each key once.')
    return found


def _harmless(value: object) -> object:
    """A JSON value whose texts are harmless."""
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, list):
        return [_harmless(part) for part in value]
    if isinstance(value, dict):
        return {_harmless(key): _harmless(part) for key, part in value.items()}
    return value


def _excerpt(text: str, limit: int = 120) -> str:
    shown = " ".join(text.split())
    return repr(shown if len(shown) <= limit else f"{shown[:limit]}…")
