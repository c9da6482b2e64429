"""The operators on data frames, for building a pipeline of your own.

    import text_lloom.concept_induction as ci

    quotes = await ci.distill_filter(df, "text", "doc_id", model=model)
    bullets = await ci.distill_summarize(quotes, "text", "doc_id", model=model)
    clusters = await ci.cluster(bullets, "text", "doc_id", embed_model=embedder)
    concepts, concept_df = await ci.synthesize(clusters, "text", "doc_id", model=model)

Every operator takes the optional keyword `run`, which shares a ledger, budget and failures between calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from text_lloom.concept import Codebook, Concept
from text_lloom.corpus import Corpus, Document
from text_lloom.errors import ColumnNotFound, InputError
from text_lloom.llm.composite import Answerer
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.embed import embed_all
from text_lloom.llm.model import Embedder
from text_lloom.llm.runtime.event_loop import run_async
from text_lloom.operators.asking import check_prompt
from text_lloom.operators.cluster import ClusterMethod, cluster_vectors
from text_lloom.operators.distill import distill_bullets, distill_quotes
from text_lloom.operators.evaluate import Coverage, known_concepts, match_concepts
from text_lloom.operators.loop import loop, refine
from text_lloom.operators.review import review_concepts
from text_lloom.operators.score import CONCEPTS_PER_CALL, plan_scoring
from text_lloom.operators.score import score_documents as _score_documents
from text_lloom.operators.synthesize import synthesize_concepts
from text_lloom.quotes import encodable
from text_lloom.scores import ScoreTable, text_series
from text_lloom.tasks import Candidate, Item, Template

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Reviewed",
    "Synthesized",
    "auto_eval",
    "cluster",
    "distill_filter",
    "distill_summarize",
    "loop",
    "refine",
    "review",
    "score_concepts",
    "synthesize",
]


class Synthesized(NamedTuple):
    """Concepts by id, and one row per concept and document that was cited for it."""

    concepts: dict[str, Concept]
    concept_df: pd.DataFrame


class Reviewed(NamedTuple):
    """The remaining concepts by id, one row per concept and cited document, and a log of the changes."""

    concepts: dict[str, Concept]
    concept_df: pd.DataFrame
    log: list[str]


async def distill_filter(
    text_df: pd.DataFrame,
    doc_col: str,
    doc_id_col: str,
    model: Answerer,
    n_quotes: int = 3,
    prompt_template: str | None = None,
    seed: str | None = None,
    *,
    run: Run | None = None,
) -> pd.DataFrame:
    """Choose quotes of each document.

    Returns:
        Columns `doc_id_col` and `doc_col` (the quotes, one per line), one row per document that was
        answered, in the order of `text_df`.
    """
    template = _template("distill_filter", prompt_template)
    documents = _documents(text_df, doc_col, doc_id_col)
    found = await run_async(
        distill_quotes(documents, model, n_quotes=n_quotes, seed=seed, template=template, run=run or Run())
    )
    return _frame([(i, "\n".join(quotes)) for i, quotes in found.items()], doc_id_col, doc_col)


async def distill_summarize(
    text_df: pd.DataFrame,
    doc_col: str,
    doc_id_col: str,
    model: Answerer,
    n_bullets: int | str = "2-4",
    n_words_per_bullet: str = "5-8",
    prompt_template: str | None = None,
    seed: str | None = None,
    *,
    run: Run | None = None,
) -> pd.DataFrame:
    """Summarize each document in bullets.

    Returns:
        Columns `doc_id_col` and `doc_col` (one bullet), one row per bullet.
    """
    template = _template("distill_summarize", prompt_template)
    passages = {d.id: [d.text] for d in _documents(text_df, doc_col, doc_id_col)}
    found = await run_async(
        distill_bullets(
            passages,
            model,
            n_bullets=n_bullets,
            n_words=n_words_per_bullet,
            seed=seed,
            template=template,
            run=run or Run(),
        )
    )
    rows = [(i, bullet) for i, bullets in found.items() for bullet in bullets]
    return _frame(rows, doc_id_col, doc_col)


async def cluster(
    text_df: pd.DataFrame,
    doc_col: str,
    doc_id_col: str,
    embed_model: Embedder,
    cluster_id_col: str = "cluster_id",
    min_cluster_size: int | None = None,
    *,
    method: ClusterMethod = "communities",
    random_state: int = 0,
    run: Run | None = None,
) -> pd.DataFrame:
    """Cluster items by their embeddings; see `cluster_vectors`.

    Returns:
        The columns `doc_id_col`, `doc_col` and `cluster_id_col`, sorted by cluster.
    """
    items = _items(text_df, doc_col, doc_id_col)

    async def work() -> list[int]:
        vectors = await embed_all(embed_model, [item.text for item in items], run=run or Run())
        labels = await asyncio.to_thread(
            cluster_vectors,
            vectors,
            method=method,
            min_cluster_size=min_cluster_size,
            random_state=random_state,
        )
        return [int(label) for label in labels]

    clustered = _frame([(item.doc_id, item.text) for item in items], doc_id_col, doc_col)
    clustered[cluster_id_col] = await run_async(work())
    return clustered.sort_values(cluster_id_col, kind="stable", ignore_index=True)


async def synthesize(
    cluster_df: pd.DataFrame,
    doc_col: str,
    doc_id_col: str,
    model: Answerer,
    cluster_id_col: str = "cluster_id",
    concept_col_prefix: str = "concept",
    n_concepts: int | None = None,
    batch_size: int | None = None,
    pattern_phrase: str = "unifying pattern",
    prompt_template: str | None = None,
    seed: str | None = None,
    *,
    embed_model: Embedder | None = None,
    random_state: int = 0,
    run: Run | None = None,
) -> Synthesized:
    """Find the concepts that the items of each cluster share.

    Args:
        cluster_df: Items with the columns `doc_id_col`, `doc_col` and `cluster_id_col`.
        doc_col: Column with the item's text.
        doc_id_col: Column with the id of its document.
        model: The model to ask.
        cluster_id_col: Column with the cluster.
        concept_col_prefix: Prefix of the columns of the result.
        n_concepts: The largest number of concepts per cluster, if not chosen from the data.
        batch_size: The largest number of items in one request; 40 when left out.
        pattern_phrase: The wording in the prompt for what is sought.
        prompt_template: A custom prompt.
        seed: A subject to concentrate on.
        embed_model: Orders the items of a large cluster; the local engine when left out.
        random_state: Seed of the sampling.
        run: Ledger, budget, cache and settings.

    Returns:
        The concepts, and a frame with the columns `doc_id_col`, `doc_col` (the document's items),
        `<prefix>_id`, `<prefix>_name` and `<prefix>_prompt`.
    """
    import numpy as np

    from text_lloom.llm.providers.local import LocalEmbedModel

    template = _template("synthesize", prompt_template)
    items = _items(cluster_df, doc_col, doc_id_col)
    _need(cluster_df, cluster_id_col)
    _, labels = np.unique(cluster_df[cluster_id_col].to_numpy(), return_inverse=True)

    async def work() -> list[Candidate]:
        shared = run or Run()
        embedder = embed_model or LocalEmbedModel()
        vectors = await embed_all(embedder, [item.text for item in items], run=shared)
        return await synthesize_concepts(
            items,
            vectors,
            labels.astype(np.int64),
            model,
            codebook=Codebook(),
            n_concepts=n_concepts,
            max_items=batch_size or 40,
            pattern_phrase=pattern_phrase,
            seed=seed,
            template=template,
            random_state=random_state,
            run=shared,
        )

    concepts = {candidate.concept.id: candidate.concept for candidate in await run_async(work())}
    texts: dict[Hashable, list[str]] = {}
    for item in items:
        texts.setdefault(item.doc_id, []).append(item.text)
    return Synthesized(concepts, _concept_frame(concepts, texts, doc_col, doc_id_col, concept_col_prefix))


async def review(
    concepts: Mapping[str, Concept],
    concept_df: pd.DataFrame,
    model: Answerer,
    concept_col_prefix: str = "concept",
    seed: str | None = None,
    *,
    target: int | None = None,
    embed_model: Embedder | None = None,
    run: Run | None = None,
) -> Reviewed:
    """Remove useless concepts, merge equal ones, and reduce the rest to `target`.

    Args:
        concepts: Concepts by id; not changed.
        concept_df: As `synthesize` gives it.
        model: The model to ask.
        concept_col_prefix: Prefix of the concept columns of `concept_df`.
        seed: The subject of the study.
        target: The wanted number of concepts.
        embed_model: Finds similar concepts; the local engine when left out.
        run: Ledger, budget, cache and settings.
    """
    id_column = f"{concept_col_prefix}_id"
    _need(concept_df, id_column)
    doc_id_col, doc_col = [str(c) for c in concept_df.columns[:2]]
    candidates = [Candidate(concept, len(concept.example_ids)) for concept in concepts.values()]
    found = await run_async(
        review_concepts(
            candidates,
            model,
            codebook=Codebook(),
            embedder=embed_model,
            target=target,
            seed=seed,
            run=run or Run(),
        )
    )
    kept = {candidate.concept.id: candidate.concept for candidate in found.candidates}
    texts: dict[Hashable, list[str]] = {}
    for doc_id, text in zip(concept_df[doc_id_col].tolist(), concept_df[doc_col].tolist(), strict=True):
        texts.setdefault(doc_id, [str(text)])
    log = [f"Removed {concept.name!r}: {reason}" for concept, reason in found.removed]
    log += [f"Merged {len(group.concept_ids)} concepts into {group.name!r}" for group in found.merged]
    log += [f"Left out {candidate.concept.name!r}: beyond the target" for candidate in found.beyond_target]
    return Reviewed(kept, _concept_frame(kept, texts, doc_col, doc_id_col, concept_col_prefix), log)


async def score_concepts(
    text_df: pd.DataFrame,
    text_col: str,
    doc_id_col: str,
    concepts: Mapping[str, Concept],
    model: Answerer,
    batch_size: int = 5,
    get_highlights: bool = False,
    *,
    concepts_per_call: int = CONCEPTS_PER_CALL,
    run: Run | None = None,
) -> pd.DataFrame:
    """Score all documents on all concepts; see `ScoreTable.to_frame` for the columns."""
    corpus = Corpus.from_frame(text_df, text_col=text_col, id_col=doc_id_col)
    table = ScoreTable(corpus)
    tasks = plan_scoring(
        list(corpus),
        list(concepts.values()),
        batch_size=batch_size,
        get_highlights=get_highlights,
        concepts_per_call=concepts_per_call,
        texts=dict(zip(corpus.ids, corpus.texts, strict=True)),
    )
    await run_async(_score_documents(tasks, model, table, run=run or Run()))
    return table.to_frame(list(concepts.values()))


async def auto_eval(
    items: Mapping[str, Mapping[str, str]],
    concepts: Sequence[Concept] | Sequence[str],
    model: Answerer,
    *,
    run: Run | None = None,
) -> Coverage:
    """Count how many known concepts were found.

    Args:
        items: Known concepts: id → `{"name": ..., "prompt": ...}`.
        concepts: Found concepts; a plain string counts as name and criterion.
        model: The model to ask.
        run: Ledger, budget, cache and settings.
    """
    found = [c if isinstance(c, Concept) else Concept(c, c) for c in concepts]
    return await run_async(match_concepts(known_concepts(items), found, model, run=run or Run()))


def _template(step: str, prompt: str | None) -> Template | None:
    return None if prompt is None else check_prompt(step, prompt)


def _items(frame: pd.DataFrame, text_col: str, id_col: str) -> list[Item]:
    _need(frame, text_col, id_col)
    pairs = zip(frame[id_col].tolist(), frame[text_col].tolist(), strict=True)
    return [Item(doc_id, encodable(str(text))) for doc_id, text in pairs]


def _documents(frame: pd.DataFrame, text_col: str, id_col: str) -> list[Document]:
    """One document per id: the rows of one id are joined by line breaks."""
    texts: dict[Hashable, list[str]] = {}
    for item in _items(frame, text_col, id_col):
        if item.text.strip():
            texts.setdefault(item.doc_id, []).append(item.text)
    if not texts:
        raise InputError(f"No row of column {text_col!r} has text.")
    return [Document(doc_id, "\n".join(parts)) for doc_id, parts in texts.items()]


def _frame(rows: Sequence[tuple[Hashable, str]], id_col: str, text_col: str) -> pd.DataFrame:
    import pandas as pd

    ids = pd.Series([doc_id for doc_id, _ in rows])
    return pd.DataFrame({id_col: ids, text_col: text_series([text for _, text in rows])})


def _concept_frame(
    concepts: Mapping[str, Concept],
    texts: Mapping[Hashable, Sequence[str]],
    doc_col: str,
    doc_id_col: str,
    prefix: str,
) -> pd.DataFrame:
    import pandas as pd

    pairs = [(concept, doc_id) for concept in concepts.values() for doc_id in concept.example_ids]
    return pd.DataFrame(
        {
            doc_id_col: pd.Series([doc_id for _, doc_id in pairs]),
            doc_col: text_series([", ".join(texts.get(doc_id, ())) for _, doc_id in pairs]),
            f"{prefix}_id": text_series([concept.id for concept, _ in pairs]),
            f"{prefix}_name": text_series([concept.name for concept, _ in pairs]),
            f"{prefix}_prompt": text_series([concept.criteria for concept, _ in pairs]),
        }
    )


def _need(frame: pd.DataFrame, *columns: str) -> None:
    for column in columns:
        if column not in frame.columns:
            raise ColumnNotFound(column, list(frame.columns), role="column")
