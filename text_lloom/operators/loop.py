"""Refine and Loop: finds generic and rare concepts, and documents that no concept covers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from text_lloom.errors import ColumnNotFound

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Refinement", "loop", "refine", "refine_ids"]

C = TypeVar("C")


class Refinement(NamedTuple):
    """The generic and the rare concepts.

    Attributes:
        generic: Ids of concepts that (nearly) all documents match.
        rare: Ids of concepts that (nearly) no document matches.
    """

    generic: list[str]
    rare: list[str]


def refine_ids(
    score_df: pd.DataFrame,
    *,
    threshold: float = 1.0,
    generic_threshold: float = 0.75,
    rare_threshold: float = 0.05,
) -> Refinement:
    """Find generic and rare concepts.

    Args:
        score_df: Scores, with the columns `concept_id` and `score`; unscored pairs do not count.
        threshold: Smallest score of a match.
        generic_threshold: Smallest share of matches of a generic concept.
        rare_threshold: Shares of matches below this make a concept rare.
    """
    _need(score_df, "concept_id", "score")
    scored = score_df.dropna(subset=["score"])
    shares = (scored["score"] >= threshold).groupby(scored["concept_id"], sort=False).mean()
    generic = [str(i) for i in shares.index[shares >= generic_threshold]]
    rare = [str(i) for i in shares.index[shares < rare_threshold] if str(i) not in generic]
    return Refinement(generic, rare)


def refine(
    score_df: pd.DataFrame,
    concepts: Mapping[str, C],
    threshold: float = 1,
    generic_threshold: float = 0.75,
    rare_threshold: float = 0.05,
    debug: bool = False,
) -> dict[str, C]:
    """The concepts without those that nearly all or nearly no documents match.

    Args:
        score_df: Scores, with the columns `concept_id` and `score`.
        concepts: Concepts by id; not changed.
        threshold: Smallest score of a match.
        generic_threshold: Smallest share of matches of a generic concept.
        rare_threshold: Shares of matches below this make a concept rare.
        debug: Print the concepts that are removed.
    """
    found = refine_ids(
        score_df,
        threshold=threshold,
        generic_threshold=generic_threshold,
        rare_threshold=rare_threshold,
    )
    if debug:
        print(f"Generic concepts: {found.generic or 'none'}. Rare concepts: {found.rare or 'none'}.")
    return {i: concept for i, concept in concepts.items() if i not in (*found.generic, *found.rare)}


def loop(
    score_df: pd.DataFrame,
    doc_col: str,
    doc_id_col: str,
    debug: bool = False,
    *,
    threshold: float = 1.0,
    generic_threshold: float = 0.5,
) -> pd.DataFrame | None:
    """The documents that the concepts do not cover yet, for another round of concept induction.

    These are documents that match no concept, or only generic ones (which at least half of all
    documents match).

    Args:
        score_df: Scores, with the columns `doc_id_col`, `doc_col`, `concept_id` and `score`.
        doc_col: Column with the text.
        doc_id_col: Column with the document id.
        debug: Print how many documents are left.
        threshold: Smallest score of a match.
        generic_threshold: Smallest share of matches of a generic concept.

    Returns:
        Columns `doc_id_col` and `doc_col`, one row per document; `None` when no document is left, or
        all are.
    """
    _need(score_df, doc_col, doc_id_col, "concept_id", "score")
    generic = refine_ids(score_df, threshold=threshold, generic_threshold=generic_threshold).generic
    matched = score_df.loc[
        (score_df["score"] >= threshold) & ~score_df["concept_id"].isin(generic), doc_id_col
    ]
    documents = score_df[[doc_id_col, doc_col]].drop_duplicates(subset=[doc_id_col])
    left = documents[~documents[doc_id_col].isin(matched)].reset_index(drop=True)
    if debug:
        print(f"{len(left)} of {len(documents)} documents match no specific concept.")
    return None if len(left) in (0, len(documents)) else left


def _need(frame: pd.DataFrame, *columns: str) -> None:
    for column in columns:
        if column not in frame.columns:
            raise ColumnNotFound(column, list(frame.columns), role="score_df")
