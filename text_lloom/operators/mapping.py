"""Map: asks a user's own typed question about every document and joins the answers to the frame."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, RootModel

from text_lloom.corpus import Corpus
from text_lloom.errors import InputError, PromptError, UnknownName
from text_lloom.llm.dispatch.step_state import Failure
from text_lloom.tasks.base import Template, check_column_names
from text_lloom.tasks.form import Form, form_of
from text_lloom.tasks.map import MAP_STEP, MAP_TEMPLATE, MapDocument
from text_lloom.tasks.wording import PromptFunction

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Question", "check_columns", "joined", "map_tasks", "question_of"]

_ONE_COLUMN: Final = "answer"


@dataclass(frozen=True, slots=True)
class Question:
    """A question about documents.

    Attributes:
        text: The question.
        form: The wanted form of the answers; `None` for a few words.
        columns: Names of the columns that the answers fill.
        is_record: Whether an answer has a value for each column; otherwise it is one value.
        template: The user's prompt, `None` for the default.
    """

    text: str
    form: Form | None
    columns: tuple[str, ...]
    is_record: bool
    template: Template | None


def question_of(
    question: object,
    schema: object = None,
    *,
    regex: str | None = None,
    prompt: str | Callable[..., str] | None = None,
    frame_columns: Sequence[object] = (),
) -> Question:
    """The question in the arguments of `map`.

    Args:
        question: A pydantic model whose docstring is the question and whose fields are the answer; or the
            question as text.
        schema: The wanted form of the answers to a question that is text.
        regex: A pattern that the answers to a question that is text match as a whole.
        prompt: A template or a function that returns the prompt.
        frame_columns: Columns of the documents, which a prompt may name.

    Raises:
        InputError: When there is no question, or its form or prompt cannot be used.
    """
    if isinstance(question, type) and issubclass(question, BaseModel):
        if schema is not None or regex is not None:
            raise InputError(
                f"{question.__name__} says itself which form its answers have; leave schema and regex out."
            )
        text, schema = " ".join((question.__dict__.get("__doc__") or "").split()), question
        if not text and prompt is None:
            raise InputError(
                f'{question.__name__} asks nothing: write the question as its docstring, such as """What '
                f'does this comment ask for?""".'
            )
    elif isinstance(question, str) and question.strip():
        text = question.strip()
    else:
        raise InputError(
            f"map(…) needs a question, which is text, or a pydantic model whose docstring asks it, but got "
            f"{question!r}."
        )
    form = form_of(schema, regex=regex)
    is_record = isinstance(schema, type) and issubclass(schema, BaseModel)
    is_record = is_record and not issubclass(schema, RootModel)  # type: ignore[arg-type]
    columns = tuple(schema.model_fields) if is_record else (_ONE_COLUMN,)  # type: ignore[attr-defined]
    names = [str(column) for column in frame_columns]
    return Question(text, form, columns, is_record, _template(prompt, names, has_form=form is not None))


def map_tasks(corpus: Corpus, question: Question) -> list[MapDocument]:
    """The question about each document, in order."""
    named = [] if question.template is None else [c for c in question.template.fields if c in corpus.frame]
    cells = corpus.cells(named)
    return [
        MapDocument(
            document.id,
            document.text,
            question.text,
            question.form,
            tuple(cells[document.id].items()),
            custom=question.template,
        )
        for document in corpus
    ]


def joined(corpus: Corpus, question: Question, answers: Sequence[Any], *, prefix: str = "") -> pd.DataFrame:
    """Join the answers to a question to the documents.

    Args:
        corpus: The documents.
        question: The question.
        answers: Per document, its answer or a `Failure`.
        prefix: Put before the names of the new columns.

    Returns:
        The documents' frame with a column per field of the answer; missing where there is no answer.
    """
    import pandas as pd

    frame = corpus.frame.copy()
    records = [None if isinstance(answer, Failure) else answer for answer in answers]
    columns: dict[str, list[object]] = {}
    if question.is_record:
        plain = [record.model_dump() if isinstance(record, BaseModel) else record for record in records]
        columns = {name: [_cell(r, name) for r in plain] for name in question.columns}
    elif any(isinstance(record, dict) for record in records) and question.form is None:
        names = dict.fromkeys(name for record in records if record for name in record)
        columns = {name: [_cell(r, name) for r in records] for name in names}
    else:
        columns = {_ONE_COLUMN: [_plain(record) for record in records]}
    for name, cells in columns.items():
        frame[f"{prefix}{name}"] = pd.Series(cells, index=frame.index)
    return frame


def check_columns(question: Question, taken: Sequence[object], prefix: str) -> None:
    """Refuse answers whose columns the documents already have.

    Raises:
        InputError: When a column exists, or the prefix is not text.
    """
    if not isinstance(prefix, str):
        raise InputError(f"prefix={prefix!r} must be text, such as 'answer_'.")
    for name in question.columns:
        if f"{prefix}{name}" in taken:
            raise InputError(
                f"The documents have a column {prefix}{name!r} already. Pass prefix=, such as "
                f"prefix='answer_', for the columns of the answers."
            )


def _template(
    prompt: str | Callable[..., str] | None, columns: Sequence[str], *, has_form: bool
) -> Template | None:
    """The user's prompt; it may also name columns of the documents."""
    if prompt is None:
        return None
    fields = tuple(dict.fromkeys([*MAP_TEMPLATE.fields, *columns]))
    default = Template(MAP_TEMPLATE.text, fields, MAP_TEMPLATE.required)
    if not isinstance(prompt, str):
        if not callable(prompt):
            raise InputError(f"prompt={prompt!r} must be a template or a function that returns the prompt.")
        return PromptFunction.of(prompt, default, step=MAP_STEP)
    check_column_names(prompt, columns)
    for name in Template.names_in(prompt):
        if name not in fields:
            raise UnknownName(name, fields, what="field of the prompt:")
    if "text" not in Template.names_in(prompt):
        raise PromptError("The prompt lacks the field {text}, where the document goes.")
    if has_form and "form" not in Template.names_in(prompt):
        prompt = f"{prompt}\n\n{{form}}"
    return Template(prompt, tuple(Template.names_in(prompt)), ("text",))


def _cell(record: Any, name: str) -> object:
    return None if record is None else _plain(record.get(name))


def _plain(value: object) -> object:
    """A value for a table cell: the value of an enumeration, the fields of a model, a list for a set."""
    if isinstance(value, BaseModel):
        return _plain(value.model_dump())
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(part) for part in value), key=str)
    if isinstance(value, dict):
        return {_plain(key): _plain(part) for key, part in value.items()}
    return value
