"""The parameters of concept generation: defaults that suit the documents, and checked user values."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median

from text_lloom.errors import InputError, UnknownName
from text_lloom.llm.options import COMMON_PARAMS, whole_number

__all__ = ["GenParameters", "suggest_parameters"]

_QUOTES_PER_SENTENCE = 0.75
_BULLETS_PER_QUOTE = 0.75
_MOST_QUOTES = 8
_MOST_BULLETS = 5
_TARGET = 20
_PER_CLUSTER = 10
_SENTENCE_END = re.compile(r"[.!?…。！？]+(?=[\s\"'”’)\]]|$)|\n{2,}")


@dataclass(frozen=True, slots=True)
class GenParameters:
    """Parameters of concept generation.

    Attributes:
        filter_n_quotes: Quotes per document; with 1 or less the documents are not filtered.
        summ_n_bullets: Bullets per document.
        synth_n_concepts: The largest number of concepts asked for per cluster.
        target_n_concepts: The wanted number of concepts.
    """

    filter_n_quotes: int
    summ_n_bullets: int
    synth_n_concepts: int
    target_n_concepts: int = _TARGET

    def to_dict(self) -> dict[str, int]:
        """The parameters by name."""
        return asdict(self)

    def updated(self, given: Mapping[str, object] | None) -> GenParameters:
        """These parameters with the user's values.

        Raises:
            UnknownName: For a parameter that does not exist; suggests the nearest name.
            InputError: For a value that is not a whole number in range.
        """
        names = [field.name for field in fields(self)]
        values = self.to_dict()
        if given is not None and not isinstance(given, Mapping):
            raise InputError(
                f"params={given!r}: expected names and numbers, such as params={{'summ_n_bullets': 2}}."
            )
        for name, value in (given or {}).items():
            if name in COMMON_PARAMS:
                raise InputError(
                    f"params[{name!r}]: say for which operator, such as "
                    f"params={{'distill_filter': {{{name!r}: {value!r}}}}}."
                )
            if name not in names:
                raise UnknownName(name, names, what="parameter")
            least = 0 if name == "filter_n_quotes" else 1
            values[name] = whole_number(value, what=f"params[{name!r}]", least=least)
        return GenParameters(**values)


def suggest_parameters(
    texts: Sequence[str],
    *,
    sample_size: int | None = None,
    target_n_concepts: int = _TARGET,
    random_state: int = 0,
) -> GenParameters:
    """Parameters that suit the length of the documents.

    Args:
        texts: The documents.
        sample_size: Use a sample of this many documents.
        target_n_concepts: The wanted number of concepts.
        random_state: Seed of the sample.
    """
    target = whole_number(target_n_concepts, what="target_n_concepts")
    if sample_size is not None:
        sample_size = whole_number(sample_size, what="sample_size")
        if sample_size < len(texts):
            texts = random.Random(random_state).sample(list(texts), sample_size)
    sentences = median(len(_SENTENCE_END.split(text.strip() + " ")) - 1 or 1 for text in texts)
    quotes = min(_MOST_QUOTES, max(1, math.ceil(sentences * _QUOTES_PER_SENTENCE)))
    bullets = min(_MOST_BULLETS, max(1, math.floor(quotes * _BULLETS_PER_QUOTE)))
    return GenParameters(quotes, bullets, _PER_CLUSTER, target)
