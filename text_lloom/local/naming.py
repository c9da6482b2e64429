"""Names and criteria in words that the corpus uses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from text_lloom.local.reading import Reading
from text_lloom.local.statistics import WEAK_KEYS, CorpusStatistics, commonest_form, phrase_spans, show_run
from text_lloom.local.stopwords import ADJECTIVAL_LY, CONNECTORS, FUNCTION_WORDS
from text_lloom.local.words import fold, is_number, key_of

__all__ = [
    "Label",
    "Name",
    "criterion",
    "fitness",
    "in_sentence",
    "joined",
    "labels_in",
    "name_fitness",
    "name_for",
    "noun_form",
    "title",
    "words_for",
]

_COMMON = 0.12
_PROPER = 0.7
_MENTIONS = "mentions of "
_SMALL_WORDS = CONNECTORS | frozenset(["and", "or", "the"])


@dataclass(frozen=True, slots=True)
class Label:
    """A word or phrase that can name what texts share.

    Attributes:
        key: Its words' keys, joined by spaces.
        contents: Keys of the words in it that carry meaning.
        surface: How it is written.
        members: Positions of the texts that have all of its contents.
        quality: How well it reads as a name, between 0 and 1.
    """

    key: str
    contents: tuple[str, ...]
    surface: str
    members: frozenset[int]
    quality: float


def labels_in(readings: Sequence[Reading], statistics: CorpusStatistics) -> list[Label]:
    """Every word and phrase that two or more of the texts share, in a fixed order."""
    having: dict[str, set[int]] = {}
    phrases: dict[str, Counter[str]] = {}
    contents: dict[str, tuple[str, ...]] = {}
    for position, reading in enumerate(readings):
        for sentence in reading.sentences:
            tokens = sentence.tokens
            for token in tokens:
                if token.content:
                    having.setdefault(token.key, set()).add(position)
            for i, j in phrase_spans(tokens):
                run = tokens[i:j]
                phrase = " ".join(token.key for token in run)
                contents[phrase] = tuple(token.key for token in run if token.content)
                phrases.setdefault(phrase, Counter())[show_run(reading.text, run)] += 1
    labels: list[Label] = []
    for key, positions in having.items():
        if len(positions) >= 2:
            surface = noun_form(key, statistics)
            labels.append(Label(key, (key,), surface, frozenset(positions), fitness(surface, statistics)))
    for phrase, forms in phrases.items():
        parts = contents[phrase]
        if len(set(parts)) < len(parts):
            continue
        shared = frozenset.intersection(*(frozenset(having[part]) for part in parts))
        if len(shared) >= 2:
            surface = _as_activity(statistics.phrase_surface(phrase) or commonest_form(forms), statistics)
            labels.append(Label(phrase, parts, surface, shared, fitness(surface, statistics)))
    return labels


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
    """How well a finished name reads, between 0 and 1; names that only join two words read less well."""
    plain = in_sentence(name, statistics)
    if plain.lower().startswith(_MENTIONS):
        return 0.3 * fitness(plain[len(_MENTIONS) :], statistics)
    parts = re.split(r" and | or | & |, ", plain)
    value = min(fitness(part, statistics) for part in parts)
    if len(parts) > 1:
        return 0.45 * value
    phrase = " ".join(key_of(word) for word in re.split(r"[ -]", plain))
    return value * (0.6 + 0.4 * min(1.0, 2 * statistics.cohesion(phrase)))


def noun_form(key: str, statistics: CorpusStatistics) -> str:
    """The written form of a key that is most used as a noun."""
    plain = statistics.surface(key)
    if statistics.is_head(plain) >= 0.45:
        return plain
    forms = statistics.forms(key)
    heads = [form for form in forms[:5] if statistics.is_head(form) >= 0.5 or form.lower().endswith("ing")]
    best = heads[0] if heads else plain
    # Of "Driving" and "driving" the usual one is wanted.
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


class Name(NamedTuple):
    """A name before it is put in Title Case, and how well it reads."""

    surface: str
    quality: float


def name_for(
    label: Label,
    members: Sequence[Reading],
    statistics: CorpusStatistics,
    *,
    avoid: frozenset[str] = frozenset(),
) -> Name:
    """A name of two to four words for the texts that share a label.

    A phrase is its own name. A single word becomes the phrase in which the texts mostly use it, or
    is put together with the word that goes along with it most: as a phrase of the corpus, as what is
    done to it, or with "and".

    Args:
        label: What the texts share.
        members: The texts.
        statistics: Written forms of words.
        avoid: Keys that other names of the same set already use.
    """
    if len(label.contents) > 1:
        return Name(label.surface, label.quality)
    key = label.contents[0]
    phrase = _phrase_with(key, members, statistics)
    if phrase.surface:
        return phrase
    counts: Counter[str] = Counter()
    for reading in members:
        counts.update(set(reading.content_keys()))
    fewest = max(2, 0.1 * len(members))
    having = max(1, len(statistics.documents_with(key)))
    shares = {k: counts[k] / len(members) for k in counts if counts[k] >= fewest}
    for k in statistics.associates([key], 8):
        shares[k] = max(shares.get(k, 0.0), statistics.together(key, k) / having)
    ranked = sorted(
        (k for k in shares if k != key and k not in avoid and k not in WEAK_KEYS),
        key=lambda k: (-shares[k] * statistics.weight(k), k),
    )
    together = [
        _together(label, companion, members, statistics, share=shares[companion]) for companion in ranked[:6]
    ]
    best = max(together, key=lambda name: name.quality, default=Name("", 0.0))
    alone = Name(_MENTIONS + label.surface, 0.3 * label.quality)
    return best if best.quality > alone.quality else alone


def _together(
    label: Label,
    companion: str,
    members: Sequence[Reading],
    statistics: CorpusStatistics,
    *,
    share: float,
) -> Name:
    """The best name made of a label and one more word."""
    key = label.contents[0]
    known = [
        phrase
        for phrase in (
            f"{companion} {key}",
            f"{key} {companion}",
            f"{key} of {companion}",
            f"{companion} of {key}",
        )
        if phrase in statistics.phrase_frequency
    ]
    phrases = [_as_activity(statistics.phrase_surface(phrase), statistics) for phrase in known]
    names = [
        Name(surface, (0.7 + 0.25 * min(1.0, 3 * share)) * fitness(surface, statistics))
        for surface in phrases
    ]
    surface = noun_form(companion, statistics)
    gerund = next((form for form in statistics.forms(companion) if form.lower().endswith("ing")), "")
    if (
        gerund
        and statistics.is_head(statistics.surface(companion)) < 0.5
        and _precedes(companion, key, members)
    ):
        names.append(Name(f"{gerund.lower()} {label.surface}", 0.85 * label.quality))
    both = min(label.quality, fitness(surface, statistics))
    if statistics.share([companion]) > _COMMON:
        both *= 0.4
    both *= 0.6 + 0.4 * min(1.0, 3 * share)
    names.append(Name(f"{label.surface} and {surface}", 0.7 * both if both >= 0.4 else 0.0))
    return max(names, key=lambda name: name.quality)


def _as_activity(surface: str, statistics: CorpusStatistics) -> str:
    """A phrase that starts with a verb, such as "save lives", with the -ing form if the corpus has one."""
    first, _, rest = surface.partition(" ")
    if not rest or not statistics.is_verb(first):
        return surface
    gerund = next((form for form in statistics.forms(key_of(first)) if form.lower().endswith("ing")), "")
    return f"{gerund.lower()} {rest}" if gerund else surface


def _precedes(first: str, second: str, members: Sequence[Reading]) -> bool:
    """Whether `first` mostly stands up to three words before `second`."""
    before = after = 0
    for reading in members:
        keys = [token.key for token in reading.tokens()]
        for at, key in enumerate(keys):
            if key == second:
                before += first in keys[max(0, at - 3) : at]
                after += first in keys[at + 1 : at + 4]
    return before > after


def joined(words: Sequence[str], last: str = "or") -> str:
    """`a, b or c`."""
    return " ".join([", ".join(words[:-1]), last, words[-1]]) if len(words) > 1 else "".join(words)


def criterion(subject: str, terms: Sequence[str]) -> str:
    """An inclusion criterion as a question that names the terms to look for."""
    asked = (
        f"mention {subject[len(_MENTIONS) :]}"
        if subject.lower().startswith(_MENTIONS)
        else f"discuss {subject}"
    )
    known = {fold(word) for word in subject.split()}
    shown = [term for term in terms if fold(term) not in known]
    return f"Does the text {asked}, in terms such as {joined(shown)}?" if shown else f"Does the text {asked}?"


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
    """Written forms of the keys that mark these texts off from the corpus, most telling first."""
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


def _phrase_with(key: str, members: Sequence[Reading], statistics: CorpusStatistics) -> Name:
    """The phrase around a word that the texts use most; an empty name if they agree on none."""
    having: Counter[str] = Counter()
    forms: dict[str, Counter[str]] = {}
    for reading in members:
        seen: set[str] = set()
        for sentence in reading.sentences:
            for i, j in phrase_spans(sentence.tokens):
                run = sentence.tokens[i:j]
                parts = [token.key for token in run if token.content]
                if key in parts and len(set(parts)) == len(parts):
                    phrase = " ".join(token.key for token in run)
                    seen.add(phrase)
                    forms.setdefault(phrase, Counter())[show_run(reading.text, run)] += 1
        having.update(seen)
    best, best_value = Name("", 0.0), 0.0
    for phrase in sorted(having):
        count = having[phrase]
        if count < max(2, 0.3 * len(members)):
            continue
        surface = _as_activity(statistics.phrase_surface(phrase) or commonest_form(forms[phrase]), statistics)
        quality = fitness(surface, statistics)
        value = count * (0.4 + statistics.cohesion(phrase)) * quality
        if quality >= 0.5 and value > best_value:
            best, best_value = Name(surface, quality), value
    return best


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
