"""Editing a session by hand: changes of concepts with undo, labels, overlap, the map."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Coroutine, Hashable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from text_lloom.concept import Codebook, Concept, Event
from text_lloom.errors import InputError, UnknownName
from text_lloom.labels import Labels, Verdict, agreement
from text_lloom.llm.embed import embed_all
from text_lloom.llm.runtime.event_loop import run_sync
from text_lloom.operators.estimate import estimate_embedding
from text_lloom.operators.models import EmbedSpec, resolve_models
from text_lloom.session.score import plan_score
from text_lloom.session.spend import declined
from text_lloom.session.state import Session

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from text_lloom.analysis.splitting import SplitPart

__all__ = ["Editing", "plan_add", "plan_edit"]

_MOST_READ: Final = 20_000
"""Larger corpora are embedded for the map by word counts only, which takes a tenth of the time."""


class Editing(Session):
    """The methods with which a user corrects concepts and scores; every edit is logged and can be undone.

    Concepts are named by id, or by name if the name is unique. None of these methods asks a model or
    spends anything, except `map_layout` with a paid model. Scores under a changed criterion are stale and
    hidden; `score()` scores the concept again.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._labels = Labels()
        self._layout: NDArray[np.float32] | None = None
        self._edit_lock = threading.RLock()
        self._layout_lock = threading.Lock()

    def rename(self, concept: str, name: str, *, note: str = "") -> Concept:
        """Rename a concept; its scores stay.

        Args:
            concept: Its id or unique name.
            name: The new name.
            note: A reason for the log.

        Raises:
            UnknownName: When there is no such concept.
            InputError: When several have that name, or the new name is blank.
        """
        with self._edit_lock:
            renamed = self.concepts.rename(self._one(concept).id, name, note=note)
        self._changed()
        return renamed

    def change_criteria(self, concept: str, criteria: str, *, note: str = "") -> Concept:
        """Change the criterion of a concept, without scoring; `edit` does both.

        Args:
            concept: Its id or unique name.
            criteria: The new criterion. Scores under the old one are hidden; `undo` restores them unless
                the concept was scored again.
            note: A reason for the log.
        """
        with self._edit_lock:
            changed = self.concepts.edit(self._one(concept).id, criteria, note=note)
        self._changed()
        return changed

    def merge(
        self,
        concepts: Sequence[str],
        *,
        name: str | None = None,
        criteria: str | None = None,
        note: str = "",
    ) -> Concept:
        """Merge concepts into one, at the position of the first.

        Args:
            concepts: Ids or unique names of at least two.
            name: The name of the merged concept; that of the first by default.
            criteria: Its criterion; that of the first by default.
            note: A reason for the log.

        Returns:
            The merged concept, which has no scores yet.
        """
        with self._edit_lock:
            ids = [self._one(concept).id for concept in _list(concepts, "concepts")]
            merged = self.concepts.merge(ids, name=name, criteria=criteria, note=note)
        self._changed()
        return merged

    def propose_split(self, concept: str) -> list[SplitPart]:
        """Propose parts of a concept, from groups among its matching documents.

        Asks no model; see `propose_parts`. Edit the names and criteria and pass the parts to `split`.

        Args:
            concept: Its id or unique name; it must be scored.

        Returns:
            Two to five parts with `name`, `criteria`, `rows` of typical documents and `n`; empty when
            there are no distinct parts.

        Raises:
            InputError: When the concept is not scored.
        """
        import numpy as np

        from text_lloom.analysis.splitting import propose_parts

        whole = self._one(concept)
        rows = np.flatnonzero(self.table.matches(whole)).tolist()
        if whole.id not in self.table or self.table.is_stale(whole):
            raise InputError(f"{whole.name!r} is not scored, so there are no matching documents to split.")
        highlights, texts = self.table.highlights(whole), self.corpus.texts
        passages = [highlights[row] if len(highlights[row]) > 40 else texts[row] for row in rows]
        return propose_parts(
            passages, rows, name=whole.name, criteria=whole.criteria, random_state=self.random_state
        )

    def split(
        self, concept: str, parts: Sequence[SplitPart | tuple[str, str]], *, note: str = ""
    ) -> list[Concept]:
        """Split a concept into several.

        Args:
            concept: Its id or unique name.
            parts: From `propose_split`, or pairs of name and criterion.
            note: A reason for the log.

        Returns:
            The new concepts, which have no scores yet.
        """
        with self._edit_lock:
            whole = self._one(concept)
            if not all(isinstance(part, (tuple, list)) and len(part) >= 2 for part in parts):
                raise InputError("parts must be pairs of name and criterion, or come from propose_split().")
            ids = self.corpus.ids
            examples = [[ids[row] for row in part[2]] if len(part) > 2 else [] for part in parts]
            made = self.concepts.split(
                whole.id, [(part[0], part[1]) for part in parts], example_ids=examples, note=note
            )
        self._changed()
        return made

    def remove(self, *concepts: str, note: str = "") -> list[Concept]:
        """Remove concepts, as one change.

        Args:
            *concepts: Ids or unique names.
            note: A reason for the log.
        """
        with self._edit_lock:
            ids = [self._one(concept).id for concept in concepts]
            gone = self.concepts.remove_all(ids, note=note)
        self._changed()
        return gone

    def add_concept(
        self, name: str, criteria: str, *, ex_ids: Sequence[Hashable] = (), note: str = ""
    ) -> Concept:
        """Add a concept without scoring; `add` does both.

        Args:
            name: A name of a few words.
            criteria: The criterion, a question that can be answered for one document.
            ex_ids: Ids of documents that show it.
            note: A reason for the log.
        """
        with self._edit_lock:
            self._check_examples(ex_ids)
            added = self.concepts.add(name, criteria, example_ids=ex_ids, active=True, note=note)
        self._changed()
        return added

    def add_codebook(self, codebook: Codebook | str | Path, *, note: str = "") -> list[Concept]:
        """Add the concepts of a codebook, and select those that it selects (all if it selects none).

        A concept that the session has already, with this name and criterion, is not added again.

        Args:
            codebook: A codebook, or a file that `wb.load_codebook` reads.
            note: A reason for the log.

        Returns:
            The concepts that were added.

        Raises:
            FileProblem: When the file cannot be read as a codebook.
        """
        from text_lloom.storage.codebook import read_codebook

        book = codebook if isinstance(codebook, Codebook) else read_codebook(codebook)
        select_all = not book.active
        with self._edit_lock:
            known = {(concept.name, concept.criteria) for concept in self.concepts.values()}
            added = []
            for concept in book.values():
                if (concept.name, concept.criteria) in known:
                    continue
                new = replace(
                    concept,
                    active=concept.active or select_all,
                    example_ids=[i for i in concept.example_ids if i in self.corpus.position],
                )
                if new.id in self.concepts:
                    new.id = str(uuid.uuid4())
                added.append(new)
            if added:
                self.concepts.extend(added, note=note or "added from a codebook")
        self._changed()
        return added

    def undo(self) -> Event | None:
        """Undo the last change of the concepts; `None` when there is nothing to undo.

        Scores under a restored criterion are shown again, unless the concept was scored in between.
        """
        with self._edit_lock:
            event = self.concepts.undo()
        self._changed()
        return event

    def redo(self) -> Event | None:
        """Redo the last change that was undone; `None` when there is nothing to redo."""
        with self._edit_lock:
            event = self.concepts.redo()
        self._changed()
        return event

    def label(self, doc_id: Hashable, concept: str, verdict: Verdict | None, note: str = "") -> None:
        """Label the score of a document as right or wrong; labels are saved with the session.

        Args:
            doc_id: The document.
            concept: Id or unique name of the concept.
            verdict: `"right"`, `"wrong"`, `"unsure"`, or `None` to remove the label.
            note: A reason.

        Raises:
            UnknownName: For another verdict, concept or document.
        """
        with self._edit_lock:
            self._labels.put(doc_id, self._one(concept), verdict, note, table=self.table)
        self._changed()

    def labels(self) -> pd.DataFrame:
        """The human labels, in the order in which they were set; see `Labels.to_frame`."""
        return self._labels.to_frame(list(self.concepts.values()), self.table)

    def agreement(self) -> pd.DataFrame:
        """The agreement of the scores with the human labels, per concept.

        Returns:
            One row per concept with labels: `concept_id`, `concept_name`, `n_labelled`, `n_right`,
            `n_wrong`, `n_unsure`, `n_outdated` (about an earlier score or criterion), `agreement` (the
            share of right ones among right and wrong ones, `NaN` without any), `is_small` (fewer than 20
            decided).
            The figure applies to the labelled documents only, unless they are a random sample.
        """
        import pandas as pd

        rows = []
        labels = list(self._labels)
        labelled = {label.concept_id for label in labels}
        for concept in self.concepts.values():
            if concept.id in labelled:
                found = agreement(labels, concept, self.table)
                rows.append(
                    {"concept_id": concept.id, "concept_name": concept.name}
                    | asdict(found)
                    | {"is_small": found.is_small}
                )
        columns = ["n_labelled", "n_right", "n_wrong", "n_unsure", "n_outdated", "agreement", "is_small"]
        return pd.DataFrame(rows, columns=["concept_id", "concept_name", *columns])

    def overlap(self, threshold: float = 1.0) -> pd.DataFrame:
        """Which scored concepts share documents; see `overlap_frame`.

        Args:
            threshold: The smallest score of a match.
        """
        from text_lloom.analysis.overlap import overlap_frame

        return overlap_frame(self.table, self._scored(), threshold=threshold)

    def map_layout(self, embed_model: EmbedSpec = "local", *, confirm: bool | None = None) -> pd.DataFrame:
        """Positions of the documents on a map, computed once and saved with the session.

        Args:
            embed_model: Embeds the documents: `"local"` (TF-IDF and SVD, free) or an `EmbedModel`. An
                `EmbedModel` computes a new map.
            confirm: As for `gen`.

        Returns:
            Columns: the corpus' id column, `x` and `y` (between -1 and 1; `NaN` for documents that share no
            word with any other).
        """
        import pandas as pd

        known = self._layout
        places = self._lay_out(embed_model, confirm)
        if places is None:
            return pd.DataFrame(columns=[self.corpus.id_col, "x", "y"])
        if places is not known:
            self._changed()
        frame = pd.DataFrame({self.corpus.id_col: self.corpus.frame[self.corpus.id_col]})
        for at, name in enumerate(("x", "y")):
            frame[name if name != self.corpus.id_col else f"{name}_"] = places[:, at]
        return frame

    def _lay_out(
        self, embed_model: EmbedSpec = "local", confirm: bool | None = None
    ) -> NDArray[np.float32] | None:
        """The layout, computed by one thread if there is none; `None` when the user declined."""
        from text_lloom.analysis.layout import lay_out, word_vectors

        with self._layout_lock:
            if self._layout is not None and embed_model == "local":
                return self._layout
            model = self.models.cluster
            if embed_model != "local" or model.name != "local":
                model = resolve_models(cluster=embed_model, background=self.corpus.texts).cluster
            texts = self.corpus.texts
            if not self._may_spend(estimate_embedding(model, texts), "the map", confirm):
                return None
            if model.name == "local" and len(texts) > _MOST_READ:
                vectors = word_vectors(texts, random_state=self.random_state)
            else:
                vectors = run_sync(embed_all(model, texts, run=self._run, step="map"))
            self._layout = lay_out(vectors, random_state=self.random_state)
            return self._layout

    def _check_examples(self, ex_ids: Sequence[Hashable]) -> None:
        if isinstance(ex_ids, str):
            raise InputError(f"ex_ids={ex_ids!r} must be a list of document ids.")
        for doc_id in ex_ids:
            if not isinstance(doc_id, Hashable) or doc_id not in self.corpus.position:
                raise UnknownName(doc_id, list(self.corpus.ids)[:1000], what="document id in ex_ids")


def plan_add(
    session: Editing,
    name: str,
    prompt: str,
    ex_ids: Sequence[Hashable] = (),
    get_highlights: bool = True,
    *,
    confirm: bool | None = None,
) -> Coroutine[Any, Any, pd.DataFrame | None]:
    """The work of `lloom.add`, once its arguments are checked and the user agrees."""
    concept = session.add_concept(name, prompt, ex_ids=ex_ids)
    try:
        return plan_score(session, [concept.id], get_highlights=get_highlights, confirm=confirm)
    except InputError:
        session.undo()
        raise


def plan_edit(
    session: Editing,
    c_id: str,
    name: str | None = None,
    prompt: str | None = None,
    ex_ids: Sequence[Hashable] | None = None,
    get_highlights: bool = True,
    *,
    confirm: bool | None = None,
) -> Coroutine[Any, Any, pd.DataFrame | None]:
    """The work of `lloom.edit`, once its arguments are checked and the user agrees."""
    with session._edit_lock:
        concept = session._one(c_id)
        had_scores = concept.id in session.table
        if ex_ids is not None:
            session._check_examples(ex_ids)
        if name is not None and name != concept.name:
            concept = session.concepts.rename(concept.id, name)
        if prompt is not None and prompt != concept.criteria:
            concept = session.concepts.edit(concept.id, prompt)
        if ex_ids is not None:
            concept.example_ids = list(ex_ids)
    session._changed()
    if not had_scores:
        return declined()
    return plan_score(session, [concept.id], get_highlights=get_highlights, confirm=confirm)


def _list(names: Sequence[str], what: str) -> list[str]:
    if isinstance(names, str):
        raise InputError(f"{what}={names!r} must be a list: {what}=[{names!r}, …].")
    return list(names)
