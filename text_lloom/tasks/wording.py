"""Prompts written by a function of the user."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from text_lloom.errors import PromptError, UnknownName
from text_lloom.quotes import encodable
from text_lloom.tasks.base import Template, fence, tags_in

__all__ = ["PromptFunction"]


@dataclass(frozen=True, slots=True)
class PromptFunction(Template):
    """A prompt written by a function, whose parameters are the fields that it uses.

    Attributes:
        function: Called with the values of these fields by keyword; returns the prompt.
        step: The step that uses the prompt.
        names: The fields that the function takes.
    """

    function: Callable[..., object] = str
    step: str = ""
    names: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, function: Callable[..., object], default: Template, *, step: str, columns: Sequence[str] = ()
    ) -> Self:
        """The prompt of a function, in place of a template.

        Args:
            function: Its parameters are fields of the template; `**fields` takes all of them.
            default: The template.
            step: The step that uses the prompt.
            columns: Columns of the documents that its parameters may name.

        Raises:
            PromptError: When the function does not take its fields by keyword.
            UnknownName: When a required parameter is not a field; suggests the nearest.
        """
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            raise PromptError(
                f"The parameters of the prompt function for {step!r} cannot be read. Pass a plain function."
            ) from None
        names: list[str] = []
        for parameter in parameters:
            if parameter.kind is parameter.VAR_KEYWORD:
                names += [name for name in default.fields if name not in names]
            elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
                raise PromptError(
                    f"The prompt function for {step!r} must take its fields by name: "
                    f"def prompt({', '.join(default.fields)})."
                )
            elif parameter.name in default.fields or parameter.name in columns:
                names.append(parameter.name)
            elif parameter.default is parameter.empty:
                known = [*default.fields, *columns]
                raise UnknownName(parameter.name, known, what=f"field of the prompt for {step!r}:")
        named = tuple(name for name in names if name not in default.fields)
        return cls(
            default.text,
            default.fields,
            default.required,
            named,
            function=function,
            step=step,
            names=tuple(names),
        )

    def render(self, values: Mapping[str, str]) -> str:
        prompt = self._called(values)
        own = prompt
        for value in values.values():
            own = own.replace(value, "") if "<" in value else own
        fenced = {name: fence(value, tags_in(own)) for name, value in values.items()}
        return encodable(prompt if fenced == values else self._called(fenced))

    def _called(self, values: Mapping[str, str]) -> str:
        """What the function returns."""
        try:
            prompt = self.function(**{name: values[name] for name in self.names})
        except Exception as error:
            raise PromptError(
                f"The prompt function for {self.step!r} failed with {type(error).__name__}: {error}."
            ) from error
        if not isinstance(prompt, str) or not prompt.strip():
            raise PromptError(
                f"The prompt function for {self.step!r} must return the prompt as text, but returned "
                f"{str(prompt)[:80]!r}."
            )
        return prompt
