"""Every exception this package raises on purpose.

LloomError
├── InputError (ValueError)          an argument cannot be used; raised before anything is spent
│   ├── ColumnNotFound               a column that the frame does not have
│   ├── DuplicateIds                 document ids that are not unique
│   ├── EmptyCorpus                  no document with text is left
│   ├── UnknownName                  an unknown step, parameter, concept id or keyword
│   │   └── UnknownConcept (KeyError) a codebook has no concept with that id or name
│   └── PromptError                  a custom prompt without a required field
├── FileProblem (OSError)            a table, codebook or session file that cannot be read or written
├── MissingPackage (ImportError)     an optional package is needed
├── ModelError                       a model could not answer
│   ├── ModelSetupError              the setup function failed, or no key was found
│   ├── TransientError               worth a retry: time-outs, dropped connections, 5xx
│   │   └── RateLimited              429, with the wait that the provider asked for
│   ├── PermanentError               a retry cannot help
│   │   ├── AuthenticationFailed     401, 403
│   │   ├── ModelNotFound            404
│   │   ├── ContextOverflow          the prompt is longer than the model's context window
│   │   │   └── PromptCut            the server read less of the prompt than was sent
│   │   ├── AnswerRefused            content policy, or the model declined
│   │   └── CallbackFailed           the user's `on_chunk` callback raised an error
│   ├── FormRefused                  the service rejects a schema or parameter; the next attempt omits it
│   └── BadAnswer                    a reply that does not follow the answer schema
├── StepFailed                       no request of a step could be answered
├── ModelUnavailable                 a model is unavailable for longer than a request may wait
├── BudgetReached                    the next request would exceed the budget
└── PaidCallRefused                  a paid call while `refuse_paid_calls()` is on
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

__all__ = [
    "AnswerRefused",
    "AuthenticationFailed",
    "BadAnswer",
    "BudgetReached",
    "CallbackFailed",
    "ColumnNotFound",
    "ContextOverflow",
    "DuplicateIds",
    "EmptyCorpus",
    "FileProblem",
    "FormRefused",
    "InputError",
    "LloomError",
    "MissingPackage",
    "ModelError",
    "ModelNotFound",
    "ModelSetupError",
    "ModelUnavailable",
    "PaidCallRefused",
    "PermanentError",
    "PromptCut",
    "PromptError",
    "RateLimited",
    "StepFailed",
    "TransientError",
    "UnknownConcept",
    "UnknownName",
]


class LloomError(Exception):
    """Base of every error raised by this package."""


class InputError(LloomError, ValueError):
    """An argument cannot be used."""


class ColumnNotFound(InputError):
    """A column that the frame does not have."""

    def __init__(self, column: object, available: Sequence[object], *, role: str) -> None:
        names = [str(name) for name in available]
        super().__init__(
            f"{role}={column!r}: the frame has no such column. "
            f"{_did_you_mean(str(column), names)}Its columns are: {_listed(names)}."
        )


class DuplicateIds(InputError):
    """Document ids that are not unique."""

    def __init__(self, id_col: str, duplicated: Sequence[object]) -> None:
        super().__init__(
            f"The id column {id_col!r} must name each document once, but these ids occur more than once: "
            f"{_listed([repr(i) for i in duplicated], limit=10)}. Remove the duplicates, choose another "
            f"id_col, or leave id_col out to have the rows numbered."
        )


class EmptyCorpus(InputError):
    """No document with text is left."""


class UnknownName(InputError):
    """An unknown step, parameter, concept id or keyword."""

    def __init__(self, name: object, known: Iterable[object], *, what: str, advice: str = "") -> None:
        """`advice` is a sentence that replaces the suggestion of the nearest known name."""
        names = [str(k) for k in known]
        hint = advice or _did_you_mean(str(name), names)
        super().__init__(f"Unknown {what} {str(name)!r}. {hint}Known: {_listed(names, limit=30)}.")


class UnknownConcept(UnknownName, KeyError):
    """A codebook has no concept with that id or name."""

    __str__ = Exception.__str__  # that of a KeyError would put the message in quotes


class PromptError(InputError):
    """A custom prompt without a required field."""


class FileProblem(LloomError, OSError):
    """A table, codebook or session file that cannot be read or written."""


class MissingPackage(LloomError, ImportError):
    """An optional package is needed."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f"Run: pip install 'text_lloom[{extra}]'"
        )


class ModelError(LloomError):
    """A model could not answer, which may cost all the same.

    Attributes:
        in_tokens: Tokens of the prompt, `None` when the provider reports none.
        out_tokens: Tokens of what was written, `None` when the provider reports none.
        usd: The cost in US dollars, when the provider itself reports it.
    """

    def __init__(
        self,
        message: str = "",
        *,
        in_tokens: int | None = None,
        out_tokens: int | None = None,
        usd: float | None = None,
    ) -> None:
        super().__init__(message)
        self.in_tokens, self.out_tokens, self.usd = in_tokens, out_tokens, usd


class ModelSetupError(ModelError):
    """The setup function failed, or no key was found."""


class TransientError(ModelError):
    """Worth a retry: time-outs, dropped connections, server errors."""


class RateLimited(TransientError):
    """The provider asks to slow down.

    Attributes:
        retry_after: Seconds that the provider asked to wait, or `None` when it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PermanentError(ModelError):
    """A retry cannot help."""


class AuthenticationFailed(PermanentError):
    """The key was refused (401 or 403)."""


class ModelNotFound(PermanentError):
    """The provider knows no such model (404)."""


class ContextOverflow(PermanentError):
    """The prompt is longer than the model's context window."""


class PromptCut(ContextOverflow):
    """The server read less of the prompt than was sent."""


class AnswerRefused(PermanentError):
    """The provider's content policy or the model itself declined to answer, which may cost all the same."""


class CallbackFailed(PermanentError):
    """The user's `on_chunk` callback raised an error."""


class FormRefused(ModelError):
    """The service rejects the form of a request, such as a schema or a parameter.

    The model remembers this, and the next attempt uses another form.
    """


class BadAnswer(ModelError):
    """A reply that does not follow the answer schema; the message is shown to the model."""


class StepFailed(LloomError):
    """No request of a step could be answered."""


class ModelUnavailable(LloomError):
    """A model is unavailable for longer than a request may wait; answers so far are kept."""


class BudgetReached(LloomError):
    """The next request would exceed the budget."""


class PaidCallRefused(LloomError):
    """A paid call while `text_lloom.testing.refuse_paid_calls()` is on."""


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    """A sentence that names the nearest known name, or nothing."""
    lowered = {k.lower(): k for k in reversed(known)}
    close = get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return f"Did you mean {lowered[close[0]]!r}? " if close else ""


def _listed(names: Sequence[str], *, limit: int = 20) -> str:
    """The names joined by commas, cut after `limit`."""
    shown = ", ".join(names[:limit])
    return f"{shown}, … ({len(names) - limit} more)" if len(names) > limit else shown
