"""The format of a reply (a type, a JSON schema or a regular expression): its prompt text and its check."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from text_lloom.errors import BadAnswer, InputError
from text_lloom.tasks.base import read_json

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["Form", "form_of"]

_WRAPPER = "answer"
_MOST_PROBLEMS = 5
_LONGEST = 120
_SAYS_SOMETHING = frozenset(
    {"$ref", "additionalProperties", "allOf", "anyOf", "const", "enum", "if", "items", "maxItems"}
    | {"maxLength", "maximum", "minItems", "minLength", "minimum", "not", "oneOf", "pattern", "prefixItems"}
    | {"patternProperties", "properties", "required", "type"}
)
"""A JSON schema with none of these keywords is taken for a mistake."""


class Form(ABC):
    """The format of a reply.

    Attributes:
        schema: JSON schema of the reply, an object; `None` if the reply is not JSON.
        regex: The pattern that the whole reply must match; `None` if the reply is JSON.
    """

    schema: Mapping[str, object] | None = None
    regex: str | None = None

    @property
    @abstractmethod
    def instruction(self) -> str:
        """The sentence of a prompt that describes the format."""

    @abstractmethod
    def read(self, text: str, *, document: str | None = None) -> object:
        """The value in a reply.

        Args:
            text: The reply.
            document: Text that the question is about; quoted passages must occur in it.

        Raises:
            BadAnswer: When the reply does not have this format; the message tells the model why.
        """


def form_of(schema: object = None, *, regex: str | None = None) -> Form | None:
    """The format that a user asks for.

    Args:
        schema: A pydantic model, any other type that pydantic understands (an enumeration, a `Literal`, a
            list, a dataclass), or a JSON schema as a mapping.
        regex: A pattern that the whole reply must match.

    Returns:
        The format, or `None` when neither is given.

    Raises:
        InputError: When both are given, or one cannot be used.
    """
    if schema is not None and regex is not None:
        raise InputError("schema and regex are both given, but a reply has one format. Pass only one.")
    if regex is not None:
        return _Pattern(regex)
    if schema is None:
        return None
    if isinstance(schema, (list, tuple)) and schema and all(isinstance(word, str) for word in schema):
        raise InputError(
            f"schema={schema!r} is not a supported format. To allow only these words, write "
            f"schema={{'enum': {list(schema)!r}}}."
        )
    if isinstance(schema, Mapping):
        try:
            return _of_json(json.dumps(schema))
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"schema is not a valid JSON schema: {error}.") from None
    return _of_type(schema)


# One object per schema: other modules cache what they derive from a schema under the object's identity.
@lru_cache(maxsize=256)
def _of_json(schema: str) -> Form:
    return _JsonSchema(json.loads(schema))


class _Json(Form):
    """A JSON object; a schema of something else is wrapped into one, since models answer with objects."""

    def __init__(self, schema: Mapping[str, object]) -> None:
        self.is_wrapped = not _is_object(schema)
        self.schema = _wrapped(schema) if self.is_wrapped else schema

    @property
    def instruction(self) -> str:
        written = json.dumps(self.schema, ensure_ascii=False)
        return f"Answer with one JSON object that follows this JSON schema, and nothing else:\n{written}"

    def read(self, text: str, *, document: str | None = None) -> object:
        content = read_json(text)
        if not isinstance(content, dict):
            shown = " ".join(text.split())
            excerpt = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
            raise BadAnswer(f"Expected a JSON object, but got: {excerpt!r}")
        if not self.is_wrapped:
            return self._validated(content, document)
        if _WRAPPER not in content:
            raise BadAnswer(f'The JSON object lacks "{_WRAPPER}".')
        return self._validated(content[_WRAPPER], document)

    @abstractmethod
    def _validated(self, value: object, document: str | None) -> object:
        """The value, if it follows the schema."""


class _Typed(_Json):
    """A type that pydantic can validate."""

    def __init__(self, adapter: TypeAdapter[Any]) -> None:
        super().__init__(adapter.json_schema())
        self._adapter = adapter

    def _validated(self, value: object, document: str | None) -> object:
        from pydantic import ValidationError

        try:
            # As JSON, because strict types accept the text of an enumeration or a date only from JSON.
            return self._adapter.validate_json(json.dumps(value), context={"document": document})
        except ValidationError as error:
            problems = ((part["loc"], part["msg"]) for part in error.errors())
            raise BadAnswer(_describe_problems(problems, is_wrapped=self.is_wrapped)) from None


class _JsonSchema(_Json):
    """A JSON schema that was given as one."""

    def __init__(self, schema: dict[str, Any]) -> None:
        import jsonschema
        from referencing import Registry
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import DRAFT202012, specification_with

        if schema and schema.keys().isdisjoint(_SAYS_SOMETHING):
            raise InputError(
                f"schema has only the keys {', '.join(map(repr, schema))}, which mean nothing in a JSON "
                f"schema. Fields go under 'properties': {{'type': 'object', 'properties': {{…}}}}."
            )
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        try:
            kind.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise InputError(
                f"schema is not a valid JSON schema: {error.message} (at {error.json_path})."
            ) from None
        draft = specification_with(str(schema.get("$schema", "")), default=DRAFT202012)
        resolver = Registry().with_resource("", draft.create_resource(schema)).resolver()
        for reference in _references(schema):
            try:
                resolver.lookup(reference)
            except Unresolvable:
                raise InputError(
                    f"schema refers to {reference!r}, which is not in it. Put the definition under $defs."
                ) from None
        super().__init__(schema)
        # An empty registry of its own makes a reference to a URL an error, so nothing is downloaded.
        self._validator = kind(schema, registry=Registry(), format_checker=kind.FORMAT_CHECKER)

    def _validated(self, value: Any, document: str | None) -> object:
        errors = sorted(self._validator.iter_errors(value), key=lambda error: list(map(str, error.path)))
        if errors:
            problems = ((tuple(error.path), error.message) for error in errors)
            raise BadAnswer(_describe_problems(problems, is_wrapped=self.is_wrapped))
        return value


class _Pattern(Form):
    """Text that matches a regular expression as a whole."""

    def __init__(self, regex: str) -> None:
        if not isinstance(regex, str):
            raise InputError(f"regex={regex!r} must be a pattern as text, such as r'yes|no'.")
        try:
            self._pattern = re.compile(regex)
        except re.error as error:
            raise InputError(f"regex={regex!r} is not a valid regular expression: {error}.") from None
        self.regex = regex

    @property
    def instruction(self) -> str:
        return (
            f"Answer with text that matches this regular expression as a whole, and nothing else:\n"
            f"{self.regex}"
        )

    def read(self, text: str, *, document: str | None = None) -> object:
        for candidate in (text, text.strip()):
            if self._pattern.fullmatch(candidate):
                return candidate
        raise BadAnswer(f"The answer does not match the regular expression {self.regex} as a whole.")


def _of_type(wanted: object) -> Form:
    from pydantic import PydanticSchemaGenerationError, PydanticUserError

    try:
        return _typed(wanted)
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError) as error:
        raise InputError(
            f"schema={wanted!r}: expected a pydantic model, another type that pydantic understands, or a "
            f"JSON schema as a mapping. ({str(error).splitlines()[0]})"
        ) from None


@lru_cache(maxsize=256)
def _typed(wanted: Any) -> _Typed:
    from pydantic import TypeAdapter

    if isinstance(wanted, (str, bytes, int, float, list, tuple)):
        raise TypeError(f"{type(wanted).__name__} is not a type")
    return _Typed(TypeAdapter(wanted))


def _is_object(schema: Mapping[str, object]) -> bool:
    """Whether a schema describes objects."""
    if "type" in schema:
        return schema["type"] == "object"
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        definitions: Any = schema.get("$defs") or {}
        target = definitions.get(reference.removeprefix("#/$defs/"))
        return isinstance(target, Mapping) and _is_object(target)
    return "properties" in schema


def _wrapped(schema: Mapping[str, object]) -> Mapping[str, object]:
    """The schema of an object whose one property follows `schema`; definitions stay at the top."""
    inner = {key: value for key, value in schema.items() if key not in ("$defs", "$schema")}
    outer: dict[str, object] = {
        "type": "object",
        "properties": {_WRAPPER: inner},
        "required": [_WRAPPER],
        "additionalProperties": False,
    }
    return outer | ({"$defs": schema["$defs"]} if "$defs" in schema else {})


def _references(schema: object) -> Iterator[str]:
    """All `$ref` of a schema."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _describe_problems(problems: Any, *, is_wrapped: bool) -> str:
    """One sentence for the model that says what is wrong with its value."""
    whole = (_WRAPPER,) if is_wrapped else ()
    listed = [f"{'.'.join(map(str, (*whole, *at))) or 'the object'}: {what}" for at, what in problems]
    return f"The JSON does not follow the requested form: {'; '.join(listed[:_MOST_PROBLEMS]).rstrip('.')}."
