"""Scores of documents on concepts from keyword evidence, with a rationale and a highlight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from text_lloom.concept import Concept
from text_lloom.local.evidence import Evidence, TermIndex, find_evidence, profile_of
from text_lloom.local.phrases import shown_word
from text_lloom.local.reading import Reader, Reading
from text_lloom.local.statistics import CorpusStatistics
from text_lloom.normal_form import passage_as_given
from text_lloom.quotes import QuoteMatch
from text_lloom.scores import Judgement
from text_lloom.tasks import Scored, ScoreDocuments

__all__ = ["Scorer"]

_ConceptKey: TypeAlias = tuple[str, str, tuple[str, ...]]

_MOST_CALIBRATION_DOCUMENTS = 2_000
_FEWEST_CALIBRATION_DOCUMENTS = 20
_COMMONEST = 0.2
_RAREST = 0.03
_FULL = 1.0
_LOWEST_FULL = 0.8
_HIGHEST_FULL = 3.0
_LIKENESS = 0.2
_LEVELS = ((1.0, 1.0), (0.75, 0.75), (0.5, 0.5), (0.3, 0.25))
_SHOWN_TERMS = 4
_NO_EVIDENCE = Evidence(0.0, (), 0, 0, False)


@dataclass(slots=True)
class Scorer:
    """Scores documents on concepts.

    How much evidence makes a match is calibrated on the corpus for each concept: more if over a fifth of
    the documents would match, less if hardly any would. So a score depends on the corpus, but not on
    which documents are asked about together.
    """

    statistics: CorpusStatistics
    corpus: Sequence[Reading]
    reader: Reader
    embed: Callable[[Sequence[str]], NDArray[np.float32]]
    _directions: dict[_ConceptKey, NDArray[np.float32]] = field(default_factory=dict)
    _full: dict[_ConceptKey, float] = field(default_factory=dict)

    def score(self, tasks: Sequence[ScoreDocuments]) -> list[list[Scored]]:
        """One list per task: an entry for each of its documents and concepts."""
        keys = [_keys_of(task) for task in tasks]
        concepts: dict[_ConceptKey, Concept] = {}
        for task, task_keys in zip(tasks, keys, strict=True):
            concepts.update(zip(task_keys, task.concepts, strict=True))
        number = {key: position for position, key in enumerate(concepts)}
        index = TermIndex(
            [profile_of(concept, key[2], self.statistics, self.reader) for key, concept in concepts.items()]
        )
        self._learn(list(concepts), index)
        texts = list(dict.fromkeys(document.text for task in tasks for document in task.documents))
        likeness = self._likeness(texts, list(concepts))
        row = {text: position for position, text in enumerate(texts)}
        found = [find_evidence(self.reader(text), index) for text in texts]
        answers: list[list[Scored]] = []
        for task, task_keys in zip(tasks, keys, strict=True):
            entries: list[Scored] = []
            for document in task.documents:
                at = row[document.text]
                for concept, key in zip(task.concepts, task_keys, strict=True):
                    evidence = found[at].get(number[key], _NO_EVIDENCE)
                    ratio = (evidence.strength + _LIKENESS * likeness[at, number[key]]) / self._full[key]
                    judgement = self._judge(
                        document.text, evidence, float(ratio), highlight=task.get_highlights
                    )
                    entries.append(Scored(document.id, concept.id, judgement))
            answers.append(entries)
        return answers

    def _sample(self) -> Sequence[Reading]:
        return self.corpus[:: max(1, -(-len(self.corpus) // _MOST_CALIBRATION_DOCUMENTS))]

    def _learn(self, keys: Sequence[_ConceptKey], index: TermIndex) -> None:
        """The direction of new concepts, and the strength of evidence that makes a match for them."""
        unknown = [position for position, key in enumerate(keys) if key not in self._full]
        if not unknown:
            return
        for position in unknown:
            name, criteria, examples = keys[position]
            own = self.embed([f"{name}. {criteria}"])[0]
            direction = own + 2 * self.embed(examples).mean(axis=0) if examples else own
            self._directions[keys[position]] = direction / max(1e-9, float(np.linalg.norm(direction)))
        if len(self.corpus) < _FEWEST_CALIBRATION_DOCUMENTS:
            self._full.update({keys[position]: _FULL for position in unknown})
            return
        few = TermIndex([index.profiles[position] for position in unknown])
        sample = self._sample()
        likeness = self._likeness([reading.text for reading in sample], [keys[n] for n in unknown])
        strengths = np.zeros((len(sample), len(unknown)))
        for row, reading in enumerate(sample):
            for column, evidence in find_evidence(reading, few).items():
                if evidence.direct:
                    strengths[row, column] = evidence.strength + _LIKENESS * likeness[row, column]
        for column, position in enumerate(unknown):
            lower = index.profiles[position].whole
            self._full[keys[position]] = _full_strength(strengths[:, column], lower=lower)

    def _likeness(self, texts: Sequence[str], keys: Sequence[_ConceptKey]) -> NDArray[np.float64]:
        """Cosine similarity of texts and concepts, from 0 to 1.

        Rounded, so that the order of summation in a matrix product cannot change a score.
        """
        if not texts or not keys:
            return np.zeros((len(texts), len(keys)))
        directions = np.stack([self._directions[key] for key in keys])
        cosines = np.asarray(self.embed(texts) @ directions.T, dtype=np.float64)
        return np.asarray(np.round(np.clip(cosines, 0.0, 1.0), 4), dtype=np.float64)

    def _judge(self, text: str, evidence: Evidence, ratio: float, *, highlight: bool) -> Judgement:
        score = next((score for floor, score in _LEVELS if ratio >= floor), 0.0)
        if not evidence.words:
            if score == 0.0:
                return Judgement(0.0, "No keyword of the concept occurs.")
            return Judgement(0.25, "No keyword of the concept occurs, but words that go along with them do.")
        if not evidence.direct:
            score = min(score, 0.5)
        words = self._words(text, evidence.words)
        if not evidence.direct:
            rationale = f"Only words of the concept's examples occur: {words}."
        elif score >= 0.5:
            rationale = f"Keyword evidence: {words}."
        else:
            rationale = f"Little keyword evidence: only {words}."
        if score < 0.5 or not highlight:
            return Judgement(score, rationale)
        shown = passage_as_given(text, evidence.start, evidence.end)
        return Judgement(score, rationale, shown, QuoteMatch.EXACT, shown)

    def _words(self, text: str, keys: Sequence[str]) -> str:
        """The words of the text with these keys, in quotation marks."""
        reading = self.reader(text)
        forms: dict[str, str] = {}
        for token in reading.tokens():
            if token.content:
                forms.setdefault(token.key, shown_word(reading.text[token.start : token.end]))
        shown = [forms.get(key) or self.statistics.surface(key) for key in keys[:_SHOWN_TERMS]]
        return ", ".join(f'"{word}"' for word in dict.fromkeys(shown))


def _full_strength(strengths: NDArray[np.float64], *, lower: bool) -> float:
    """The strength that makes a match, given the strengths in the corpus; `lower` lets it sink."""
    share = float((strengths >= _FULL).mean())
    if share > _COMMONEST:
        return min(_HIGHEST_FULL, max(_FULL, float(np.quantile(strengths, 1 - _COMMONEST)) + 1e-9))
    if lower and share < _RAREST:
        return max(_LOWEST_FULL, min(_FULL, float(np.quantile(strengths, 1 - _RAREST))))
    return _FULL


def _keys_of(task: ScoreDocuments) -> list[_ConceptKey]:
    examples = task.examples or ((),) * len(task.concepts)
    padded = [*examples, *([()] * (len(task.concepts) - len(examples)))]
    return [
        (concept.name, concept.criteria, tuple(texts))
        for concept, texts in zip(task.concepts, padded[: len(task.concepts)], strict=True)
    ]
