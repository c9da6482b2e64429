"""The whole flow on real corpora: complete tables, exact highlights, readable names, the same again."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import text_lloom.workbench as wb
from tests.fake_provider.fixtures import FakeProvider
from text_lloom.cli import app
from text_lloom.llm import OpenAIEmbedModel, OpenAIModel

pytestmark = pytest.mark.corpora


class Source(NamedTuple):
    """A corpus: its file, its columns, a column for slices."""

    path: str
    text_col: str
    id_col: str | None
    slice_col: str
    n: int


POSTS = Source("lloom4/political_fb_posts_100.csv", "text", "doc_id", "Page Category", 100)
COMMENTS = Source("lloom4/toxicity_feminism_200.csv", "comment", "doc_id", "rating", 200)
ABSTRACTS = Source("lloom4/uist_abstracts_210.csv", "text", "doc_id", "year", 210)
STATEMENTS = Source("lloom4/neurips_statements_150.csv", "text", "doc_id", "primary subject area", 150)
QUERIES = Source("banking77/test.csv", "text", None, "category", 3080)

SMALL = [
    pytest.param(POSTS, id="posts"),
    pytest.param(COMMENTS, id="comments"),
    pytest.param(ABSTRACTS, id="abstracts"),
    pytest.param(STATEMENTS, id="statements"),
]
ALL = [*SMALL, pytest.param(QUERIES, id="queries")]
STOP_WORDS = set(
    re.findall(
        r"\w+",
        """a an and are as at be been but by can do does for from had has have he her his how i if in is it
        its me my no nor not of on or our out she so than that the their them then there these they this to
        too up us was we were what when where which who why will with would you your""",
    )
)
N_CONCEPTS = 6


class Outcome(NamedTuple):
    """A session after everything, and its score table."""

    session: wb.lloom
    scores: pd.DataFrame


def induced(frame: pd.DataFrame, source: Source) -> Outcome:
    session = wb.lloom(
        df=frame,
        text_col=source.text_col,
        id_col=source.id_col,
        distill_model="local",
        cluster_model="local",
        synth_model="local",
        score_model="local",
    )
    scores = session.sync.gen_auto(max_concepts=N_CONCEPTS, debug=False)
    assert scores is not None
    return Outcome(session, scores)


@pytest.fixture(scope="module")
def on_local(corpora: Path) -> Callable[[Source], Outcome]:
    @cache
    def outcome(source: Source) -> Outcome:
        return induced(pd.read_csv(corpora / source.path), source)

    return outcome


def check_table(scores: pd.DataFrame, frame: pd.DataFrame, source: Source, n_concepts: int) -> None:
    id_col = source.id_col or "id"
    ids = frame[id_col] if source.id_col else pd.Series(range(len(frame)))
    assert len(frame) == source.n
    assert len(scores) == source.n * n_concepts
    assert scores.groupby("concept_id", sort=False).size().tolist() == [source.n] * n_concepts
    assert scores[id_col].dtype == ids.dtype
    assert scores[id_col].tolist() == ids.tolist() * n_concepts
    assert scores[source.text_col].tolist() == frame[source.text_col].tolist() * n_concepts
    assert set(scores["score"].unique()) <= {0.0, 0.25, 0.5, 0.75, 1.0}
    quotes = zip(scores["highlight"], scores[source.text_col], strict=True)
    assert all(quote in text for quote, text in quotes)
    matches = scores[scores["score"] == 1.0]
    assert (matches["highlight"] != "").mean() > 0.9
    assert matches["rationale"].str.strip().ne("").all()


def faults_of_name(name: str) -> list[str]:
    """What keeps a name from reading like one."""
    words = re.findall(r"\S+", name)
    lowered = [re.sub(r"\W", "", word).casefold() for word in words]
    found = {
        "a stop word at an end": any(
            words[end].casefold() in STOP_WORDS and not words[end].isupper() for end in (0, -1)
        ),
        "a single letter": any(len(word) == 1 for word in lowered),
        "a word twice": len(set(lowered)) < len(lowered),
        "no word of letters": not any(word.replace("-", "").isalpha() for word in words),
        "too many words": len(words) > 6,
        "loose ends": name != " ".join(words),
    }
    return [fault for fault, is_there in found.items() if is_there]


# --- the local engine ----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ALL)
def test_local_tables_are_complete(
    on_local: Callable[[Source], Outcome], corpora: Path, source: Source
) -> None:
    session, scores = on_local(source)
    check_table(scores, pd.read_csv(corpora / source.path), source, N_CONCEPTS)
    assert session.failures().empty
    exported = session.export_df(include_outliers=True)
    assert exported["n_matches"].tolist()[:-1] == [
        int((group["score"] >= 1).sum()) for _, group in scores.groupby("concept_id", sort=False)
    ]
    assert (exported["n_matches"].iloc[:-1] >= 2).all(), "a concept that nothing shows is none"
    assert session.summary(return_vals=True).total_cost == 0


@pytest.mark.parametrize("source", ALL)
def test_local_names_read_like_names(on_local: Callable[[Source], Outcome], source: Source) -> None:
    concepts = list(on_local(source).session.concepts.values())
    names = [concept.name for concept in concepts]
    assert len({name.casefold() for name in names}) == len(names)
    assert {name: faults for name in names if (faults := faults_of_name(name))} == {}
    assert all(concept.criteria.endswith("?") for concept in concepts)


@pytest.mark.parametrize("source", ALL)
def test_local_runs_repeat(on_local: Callable[[Source], Outcome], corpora: Path, source: Source) -> None:
    first = on_local(source)
    again = induced(pd.read_csv(corpora / source.path), source)
    for one, other in zip(first.session.concepts.values(), again.session.concepts.values(), strict=True):
        assert one.to_dict() == other.to_dict()
    pd.testing.assert_frame_equal(first.scores, again.scores)


@pytest.mark.filterwarnings("ignore:.*the slice 'other' is the largest one:UserWarning")
@pytest.mark.parametrize("source", ALL)
def test_views_and_files_of_local_results(
    on_local: Callable[[Source], Outcome], source: Source, tmp_path: Path
) -> None:
    session, scores = on_local(source)
    view = session.vis(slice_col=source.slice_col, norm_by="slice")
    assert view.counts.slice_sizes.sum() == source.n
    assert view.counts.counts.sum() == int((scores["score"] >= 1).sum())
    page = session.write_report(tmp_path / "report.html", slice_col=source.slice_col)
    assert page.stat().st_size > 10_000
    assert "<script" not in page.read_text(encoding="utf-8")
    session.save(tmp_path, "session")
    pd.testing.assert_frame_equal(wb.load(tmp_path / "session.lloom").get_score_df(), scores)


@pytest.mark.parametrize("source", SMALL)
def test_the_command_line_gives_the_same(
    on_local: Callable[[Source], Outcome], corpora: Path, source: Source, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = [
        "run", str(corpora / source.path), "--text-col", source.text_col, "--id-col", str(source.id_col),
        "--slice", source.slice_col, "--max-concepts", str(N_CONCEPTS), "--out", str(out),
    ]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == [
        ".lloom-run.json",
        "codebook.json",
        "concepts.csv",
        "documents.csv",
        "documents.xlsx",
        "report.html",
        "scores.csv",
        "scores.parquet",
        "session.lloom",
    ]
    expected = on_local(source).scores
    scores = pd.read_parquet(out / "scores.parquet")
    assert scores["score"].tolist() == expected["score"].tolist()
    assert scores["concept_name"].tolist() == expected["concept_name"].tolist()
    assert scores["highlight"].tolist() == expected["highlight"].tolist()
    as_csv = pd.read_csv(out / "scores.csv", keep_default_na=False)
    assert as_csv["score"].tolist() == expected["score"].tolist()
    assert as_csv["highlight"].tolist() == expected["highlight"].tolist()


# --- a provider ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SMALL)
def test_tables_of_a_provider_are_complete(
    corpora: Path, source: Source, fake_provider: FakeProvider
) -> None:
    at = {"api_key": fake_provider.api_key, "base_url": fake_provider.base_url, "cost": 0}
    chat, embedder = OpenAIModel("gpt-4o-mini", **at), OpenAIEmbedModel("text-embedding-3-large", **at)
    frame = pd.read_csv(corpora / source.path)
    session = wb.lloom(
        df=frame,
        text_col=source.text_col,
        id_col=source.id_col,
        distill_model=chat,
        cluster_model=embedder,
        synth_model=chat,
        score_model=chat,
    )
    scores = session.sync.gen_auto(max_concepts=4, debug=False)
    assert scores is not None
    assert np.isfinite(scores["score"]).all()
    assert session.failures().empty
    n_concepts = len(session.concepts.active)
    assert 1 <= n_concepts <= 4
    check_table(scores, frame, source, n_concepts)
    stats = fake_provider.stats()
    assert stats.outcome("answered") == len(stats.requests), "no request failed"
    assert stats.duplicates == 0
    scored = [entry for entry in stats.requests if entry.task == "score"]
    assert len(scored) <= source.n, "all concepts of a document are judged in one request"
