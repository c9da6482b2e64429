"""Names and criteria in words that the corpus uses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from text_lloom.local.kin import kin_of
from text_lloom.local.reading import Reading
from text_lloom.local.statistics import WEAK_KEYS, CorpusStatistics
from text_lloom.local.stopwords import ADJECTIVAL_LY, CONNECTORS, FUNCTION_WORDS
from text_lloom.local.words import fold, is_number, key_of

__all__ = [
    "criterion",
    "fitness",
    "in_sentence",
    "joined",
    "name_fitness",
    "noun_form",
    "title",
    "words_for",
]

_PROPER = 0.7
_SUBJECTS = 0.9
_SUBJECT = 0.6
_SUBJECT_OF_LONG = 0.5
_PAIR = 0.5
_WORD = 0.3
_LEAST_FORM = 0.3
_SMALL_WORDS = CONNECTORS | frozenset(["and", "or", "the"])


def fitness(surface: str, statistics: CorpusStatistics) -> float:
    """How well a word or phrase reads as a name: 0 (not at all) to 1."""
    words = re.split(r"[ -]", surface.strip(" -"))
    first, last = words[0], words[-1]
    for word in {first, last}:
        folded = fold(word)
        if _is_function_word(folded) or is_number(folded) or _is_drawn_out(folded):
            return 0.0
        if len(folded) < 3 and word.islower() and folded.isascii():
            return 0.0
        if folded.endswith("ly") and folded not in ADJECTIVAL_LY:
            return 0.0
    if all(key_of(word) in WEAK_KEYS or _is_function_word(fold(word)) for word in words):
        return 0.1 if len(words) == 1 else 0.0
    value = 0.1 + 0.9 * min(1.0, statistics.is_head(last) / 0.55)
    if key_of(last) in WEAK_KEYS:
        value *= 0.5
    if len(words) > 1:
        gerund = fold(first).endswith("ing")
        value *= 1.0 if gerund else 0.4 + 0.6 * min(1.0, statistics.is_modifier(first) / 0.55)
        if key_of(first) in WEAK_KEYS:
            value *= 0.7
        if " " not in surface:
            value *= 0.6
        if all(word[0].isupper() for word in words):
            value *= _PROPER
    return value


def name_fitness(name: str, statistics: CorpusStatistics) -> float:
    """How well a finished name reads, between 0 and 1.

    Phrases read best, then two words about one subject of English, then one such word; other single
    words and pairs say less.
    """
    plain = in_sentence(name, statistics)
    parts = re.split(r" and | or | & |, ", plain)
    keys = [key_of(part) for part in parts]
    value = min(fitness(part, statistics) for part in parts)
    if len(parts) == 1 and len(re.split(r"[ -]", plain)) > 1:
        phrase = " ".join(key_of(word) for word in re.split(r"[ -]", plain))
        return value * (0.6 + 0.4 * min(1.0, 2 * statistics.cohesion(phrase)))
    if len(parts) > 1:
        same_subject = all(key in kin_of(keys[0]) for key in keys[1:])
        return max(_SUBJECTS, value * _SUBJECTS) if same_subject else value * _PAIR
    if kin_of(keys[0]):
        # In long texts, one everyday word says little about the subject.
        return (_SUBJECT_OF_LONG if statistics.long_texts else _SUBJECT) * max(value, 0.9)
    return value * (_PROPER if plain[:1].isupper() else 1.0) * _WORD


def noun_form(key: str, statistics: CorpusStatistics) -> str:
    """The written form of a key that is most used as a noun."""
    plain = statistics.surface(key)
    if statistics.is_head(plain) >= 0.45:
        return plain
    forms = statistics.forms(key)
    heads = [
        form
        for form in forms[:5]
        if (statistics.is_head(form) >= 0.5 or form.lower().endswith("ing"))
        and statistics.form_share(key, form) >= _LEAST_FORM
    ]
    best = heads[0] if heads else plain
    # Prefer the more usual of "Driving" and "driving".
    return best if best[1:] != best[1:].lower() or best.lower() not in forms else best.lower()


def title(surface: str) -> str:
    """A phrase as a name: Title Case, small words small, capitals inside words kept.

    Example:
        >>> title("cost of living"), title("NHS funding")
        ('Cost of Living', 'NHS Funding')
    """
    words = [
        word if position and word.lower() in _SMALL_WORDS else _capitalised(word)
        for position, word in enumerate(surface.split())
    ]
    return " ".join(words)


def joined(words: Sequence[str], last: str = "or") -> str:
    """`a, b or c`."""
    return " ".join([", ".join(words[:-1]), last, words[-1]]) if len(words) > 1 else "".join(words)


def criterion(subject: str, terms: Sequence[str]) -> str:
    """An inclusion criterion as a question that names the terms to look for."""
    known = {fold(word) for word in subject.split()}
    shown = [term for term in terms if fold(term) not in known]
    examples = f", in terms such as {joined(shown)}" if shown else ""
    return f"Does the text discuss {subject}{examples}?"


def in_sentence(name: str, statistics: CorpusStatistics) -> str:
    """A name in the letter case that its words have inside sentences."""
    usual = statistics.phrase_surface(" ".join(key_of(word) for word in name.split()))
    if usual.lower() == name.lower():
        return usual
    return " ".join(statistics.cased(word) for word in name.split())


def words_for(
    members: Sequence[Reading],
    statistics: CorpusStatistics,
    *,
    without: Sequence[str],
    n: int = 4,
) -> list[str]:
    """Written forms of the keys that distinguish these texts from the corpus, most distinctive first."""
    counts: Counter[str] = Counter()
    for reading in members:
        counts.update(set(reading.content_keys()))
    scores = {key: count * statistics.weight(key) for key, count in counts.items() if count >= 2}
    for rank, key in enumerate(statistics.associates(without, 8)):
        scores[key] = scores.get(key, 0.0) + (1.6 - 0.1 * rank) * statistics.weight(key)
    if len(scores) < 3:
        for key, count in counts.items():
            if count == 1:
                scores.setdefault(key, 0.4 * statistics.weight(key))
    ranked = sorted(scores, key=lambda key: (-scores[key] * _fitness_of(key, statistics), key))
    found: list[str] = []
    for key in ranked:
        if len(found) == n:
            break
        if key in without or key in WEAK_KEYS:
            continue
        surface = noun_form(key, statistics)
        if fitness(surface, statistics) >= 0.3:
            found.append(surface)
    return found


def _fitness_of(key: str, statistics: CorpusStatistics) -> float:
    return fitness(noun_form(key, statistics), statistics)


def _is_function_word(folded: str) -> bool:
    return folded in FUNCTION_WORDS["en"]


def _is_drawn_out(folded: str) -> bool:
    """Whether a word has a letter three times in a row, as in `sooo`."""
    return any(a == b == c for a, b, c in zip(folded, folded[1:], folded[2:], strict=False))


def _capitalised(word: str) -> str:
    return "-".join(
        part if part[1:] != part[1:].lower() or not part else part[0].upper() + part[1:]
        for part in word.split("-")
    )
