"""Runs of words that can be phrases, and how words and phrases are written."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from text_lloom.local.reading import Reading
from text_lloom.local.stopwords import CONNECTORS
from text_lloom.local.words import Token, key_of

__all__ = ["commonest_form", "phrase_spans", "phrases_of", "show_run", "shown_word"]

_CONNECTOR_KEYS = frozenset(key_of(word) for word in CONNECTORS)


def phrase_spans(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Runs `tokens[i:j]` of two to four words that can be a phrase.

    A run starts and ends with a content word and has at most three of them. Its words are separated by
    a space or a hyphen, and its only function words are connectors.
    """
    n = len(tokens)
    for i in range(n - 1):
        if not tokens[i].content:
            continue
        contents = 1
        for j in range(i + 1, min(i + 4, n)):
            token = tokens[j]
            if not token.tight:
                break
            if token.content:
                contents += 1
                if contents > 3:
                    break
                yield i, j + 1
            elif token.key not in _CONNECTOR_KEYS:
                break


def phrases_of(reading: Reading) -> Iterable[str]:
    """The keys of all phrases of a text, words joined by spaces."""
    for sentence in reading.sentences:
        tokens = sentence.tokens
        for i, j in phrase_spans(tokens):
            yield " ".join(token.key for token in tokens[i:j])


def show_run(text: str, run: Sequence[Token]) -> str:
    """The words of a run as the text has them, one space or hyphen between two words."""
    parts = [shown_word(text[run[0].start : run[0].end])]
    for before, token in pairwise(run):
        gap = text[before.end : token.start].strip(" \n\r\t#'’\u00a0")
        parts.append("-" if gap else " ")
        parts.append(shown_word(text[token.start : token.end]))
    return "".join(parts)


def shown_word(word: str) -> str:
    """A word as it is shown: without the ending of a possessive, ligatures taken apart."""
    word = unicodedata.normalize("NFKC", word)
    return word[:-2] if word.endswith(("'s", "’s")) else word


def commonest_form(forms: Counter[str]) -> str:
    """The commonest written form without regard to case, then the commonest case of that form."""
    lowered: Counter[str] = Counter()
    for form, count in forms.items():
        lowered[form.lower()] += count
    best = min(lowered, key=lambda form: (-lowered[form], form))
    cased = {form: count for form, count in forms.items() if form.lower() == best}
    # The word is shown with capitals only if two thirds of its uses have them.
    top = min(cased, key=lambda form: (-cased[form], form))
    return top if top == best or cased[top] >= 0.6 * lowered[best] else best
