"""What each option of `lloom run`, `score`, `demo`, `view` and `models` changes in what is written."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.fake_provider.fixtures import FakeProvider
from tests.test_cli import assert_refused, check_results, lloom, paid_calls, posts, posts_csv

__all__ = ["paid_calls", "posts", "posts_csv"]

BOOK = (
    "name,criteria\n"
    "Late buses,Does the text say that a bus is late?\n"
    "[red]Fares[/red],Does the text say that fares are too high?\n"
)
QUICK = ("--text-col", "text", "--id-col", "key", "--max-concepts", 2)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book.csv").write_text(BOOK, encoding="utf-8")
    return tmp_path / "book.csv"


@pytest.fixture
def server(fake_provider: FakeProvider, monkeypatch: pytest.MonkeyPatch, paid_calls: None) -> list[str]:
    """The options that name a server of one's own."""
    monkeypatch.setenv("LLOOM_API_KEY", fake_provider.api_key)
    return ["--model", "openai:own-model", "--base-url", fake_provider.base_url]


def page_of(file: Path) -> str:
    return file.read_text(encoding="utf-8")


# --- lloom run -----------------------------------------------------------------------------------------


def test_run_generates_as_many_concepts_as_its_target_says(posts_csv: Path, tmp_path: Path) -> None:
    sizes = {}
    for target in (1, 3):
        out = tmp_path / f"out-{target}"
        assert lloom("run", posts_csv, *QUICK, "--target", target, "--out", out).exit_code == 0
        sizes[target] = len(json.loads(page_of(out / "codebook.json"))["concepts"])
    assert sizes[1] == 1
    assert 1 < sizes[3] <= 3


@pytest.mark.parametrize("most", [1, 2])
def test_run_scores_as_many_concepts_as_it_is_told(posts_csv: Path, tmp_path: Path, most: int) -> None:
    out = tmp_path / "out"
    options = ["--text-col", "text", "--max-concepts", most]
    assert lloom("run", posts_csv, *options, "--out", out).exit_code == 0
    assert pd.read_parquet(out / "scores.parquet")["concept_id"].nunique() == most


def test_the_report_is_named_after_the_table_and_opens_by_the_slice(posts_csv: Path, tmp_path: Path) -> None:
    sliced, whole = tmp_path / "sliced", tmp_path / "whole"
    assert lloom("run", posts_csv, *QUICK, "--slice", "area", "--out", sliced).exit_code == 0
    assert lloom("run", posts_csv, *QUICK, "--out", whole).exit_code == 0
    report = page_of(sliced / "report.html")
    assert "<title>posts</title>" in report
    assert '"column":"area"' in report
    assert '"column":"area"' not in page_of(whole / "report.html")
    assert "id='lloom-blob-map'" in report


def test_the_terminal_lists_the_concepts_that_most_documents_match_first(
    posts: pd.DataFrame, book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    texts = [*posts["text"][posts["text"].str.contains("ticket")], *posts["text"][:3]]
    pd.DataFrame({"text": texts}).to_csv(tmp_path / "mixed.csv", index=False)
    out = tmp_path / "out"
    result = lloom("score", book, tmp_path / "mixed.csv", "--text-col", "text", "--out", out)
    assert result.exit_code == 0, result.output
    scores = pd.read_parquet(out / "scores.parquet")
    counts = (scores["score"] >= 1).groupby(scores["concept_name"]).sum()
    outliers = int((scores.groupby("id")["score"].max() < 1).sum())
    assert counts["[red]Fares[/red]"] > counts["Late buses"], "the order of the codebook is another"
    rows = [line.split() for line in result.stdout.splitlines() if "%" in line]
    assert rows[0][0] == "[red]Fares[/red]", "names are printed as they are"
    assert rows[0][1:3] == [str(counts["[red]Fares[/red]"]), f"{counts['[red]Fares[/red]'] / 15:.0%}"]
    assert rows[1][:4] == ["Late", "buses", str(counts["Late buses"]), f"{counts['Late buses'] / 15:.0%}"]
    assert rows[2] == ["(no", "concept)", str(outliers), f"{outliers / 15:.0%}"]
    assert f"Written to {out}: scores.parquet, scores.csv, concepts.csv, codebook.json" in result.stdout


def test_a_run_with_openai_embeds_with_openai_unless_told_otherwise(
    posts_csv: Path,
    tmp_path: Path,
    fake_provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    paid_calls: None,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", fake_provider.api_key)
    monkeypatch.setenv("OPENAI_BASE_URL", fake_provider.base_url)
    options = [*QUICK, "--model", "openai:gpt-4o-mini", "--yes"]
    result = lloom("run", posts_csv, *options, "--out", tmp_path / "openai")
    assert result.exit_code == 0, result.output
    assert "Warning" not in result.stderr
    asked = {entry.model for entry in fake_provider.stats().requests}
    assert asked == {"gpt-4o-mini", "text-embedding-3-large"}
    fake_provider.reset()
    result = lloom("run", posts_csv, *options, "--embed-model", "local", "--out", tmp_path / "local")
    assert result.exit_code == 0, result.output
    assert {entry.model for entry in fake_provider.stats().requests} <= {"gpt-4o-mini"}


def test_a_run_stops_at_its_budget(
    posts_csv: Path, tmp_path: Path, server: list[str], fake_provider: FakeProvider
) -> None:
    options = [*QUICK, *server, "--price-per-million", "1000,1000"]
    result = lloom("run", posts_csv, *options, "--budget", 0, "--out", tmp_path / "out")
    assert result.exit_code == 3, result.output
    assert "Warning: Estimated cost: $" in result.stderr
    assert "nothing is written" in result.stderr
    assert fake_provider.stats().paid == 0
    assert not (tmp_path / "out").exists()


def test_a_server_that_is_free_embeds_for_free_too(
    posts_csv: Path, tmp_path: Path, server: list[str], fake_provider: FakeProvider
) -> None:
    options = [*QUICK, *server, "--price-per-million", 0, "--embed-model", "openai:own-embedder"]
    result = lloom("run", posts_csv, *options, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "Total cost: $0.00" in result.stdout
    assert "unknown" not in result.output
    assert {entry.model for entry in fake_provider.stats().requests} == {"own-model", "own-embedder"}


# --- lloom score ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "usd"),
    [
        pytest.param("3,700", lambda i, o: 3e-6 * i + 700e-6 * o, id="in-and-out"),
        pytest.param("50", lambda i, o: 50e-6 * (i + o), id="one-for-both"),
    ],
)
def test_prices_are_dollars_per_million_tokens(
    posts_csv: Path,
    book: Path,
    tmp_path: Path,
    server: list[str],
    fake_provider: FakeProvider,
    price: str,
    usd: Callable[[int, int], float],
) -> None:
    options = ["--text-col", "text", *server, "--price-per-million", price, "--yes"]
    result = lloom("score", book, posts_csv, *options, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    told = re.search(r"Total cost: \$([\d.]+)", result.stdout)
    assert told is not None
    counted = fake_provider.stats().counters
    assert float(told[1]) == pytest.approx(
        usd(counted["paid_in_tokens"], counted["paid_out_tokens"]), abs=0.0051
    )


def test_only_the_chosen_concepts_of_a_codebook_are_scored(
    posts: pd.DataFrame, posts_csv: Path, book: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first"
    assert lloom("score", book, posts_csv, "--text-col", "text", "--out", first).exit_code == 0
    content = json.loads(page_of(first / "codebook.json"))
    for concept in content["concepts"]:
        concept["active"] = concept["name"] == "Late buses"
    (tmp_path / "chosen.json").write_text(json.dumps(content), encoding="utf-8")
    out = tmp_path / "out"
    result = lloom("score", tmp_path / "chosen.json", posts_csv, "--text-col", "text", "--out", out)
    assert result.exit_code == 0, result.output
    assert check_results(out, posts, id_col="id")["concept_name"].unique().tolist() == ["Late buses"]


def test_score_reads_another_encoding_and_groups_its_report(
    posts: pd.DataFrame, book: Path, tmp_path: Path
) -> None:
    latin = posts.assign(text=posts["text"] + " Café Zoë.")
    latin.to_csv(tmp_path / "latin.csv", index=False, encoding="cp1252")
    arguments = ["score", book, tmp_path / "latin.csv", "--text-col", "text", "--out", tmp_path / "out"]
    assert_refused(lloom(*arguments), "latin.csv", "--encoding cp1252")
    assert_refused(lloom(*arguments, "--encoding", "cp1252", "--slice", "aera"), "--slice='aera'")
    result = lloom(*arguments, "--encoding", "cp1252", "--slice", "area")
    assert result.exit_code == 0, result.output
    check_results(tmp_path / "out", latin, id_col="id")
    report = page_of(tmp_path / "out" / "report.html")
    assert "<title>latin</title>" in report
    assert '"column":"area"' in report


@pytest.mark.parametrize("command", ["run", "score"])
def test_yes_goes_without_asking_and_without_a_warning(
    posts_csv: Path, book: Path, tmp_path: Path, server: list[str], command: str
) -> None:
    about = (
        ["run", posts_csv, *QUICK] if command == "run" else ["score", book, posts_csv, "--text-col", "text"]
    )
    asked = lloom(*about, *server, "--out", tmp_path / "asked")
    assert "Warning: Estimated cost" in asked.stderr
    yes = lloom(*about, *server, "--yes", "--out", tmp_path / "yes")
    assert yes.exit_code == 0, yes.output
    assert "Warning" not in yes.stderr


def test_what_was_declined_is_not_scored(
    posts_csv: Path,
    book: Path,
    tmp_path: Path,
    server: list[str],
    fake_provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("text_lloom.session.spend.is_interactive", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _="": "n")
    result = lloom("score", book, posts_csv, "--text-col", "text", *server, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert fake_provider.stats().paid == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("hanging", [0.2, 1.0], ids=["in-the-midst", "before-any-score"])
def test_a_run_that_the_user_stops_keeps_what_was_scored(
    posts: pd.DataFrame, book: Path, tmp_path: Path, fake_provider: FakeProvider, hanging: float
) -> None:
    distinct = posts.assign(text=[f"{text} Comment {n}." for n, text in enumerate(posts["text"])])
    distinct.to_csv(tmp_path / "posts.csv", index=False)
    fake_provider.control(p_hang=hanging, hang_seconds=120, fault_attempts=None, seed=1)
    command = [
        *(sys.executable, "-c", "from text_lloom.cli import main; main()", "score", str(book)),
        *(str(tmp_path / "posts.csv"), "--text-col", "text", "--id-col", "key", "--price-per-million", "0"),
        *(
            "--model",
            "openai:own-model",
            "--base-url",
            fake_provider.base_url,
            "--out",
            str(tmp_path / "out"),
        ),
    ]
    environment = {"PATH": "/usr/bin:/bin", "LLOOM_API_KEY": fake_provider.api_key, "LLOOM_CACHE": "0"}
    running = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 90
        least = 5 if hanging < 1 else 0
        while fake_provider.stats().paid < least or not fake_provider.stats().requests:
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130, stderr
    assert "Stopped." in stderr
    assert "Traceback" not in stderr
    if hanging == 1:
        assert not (tmp_path / "out").exists()
        return
    scores = check_results(tmp_path / "out", distinct)
    missing = int(scores["score"].isna().sum())
    assert 0 < missing < len(scores)
    assert f"Incomplete: {missing} of {len(scores)} scores are missing" in stderr
    assert "Written to" in stdout


# --- lloom demo, view and models -----------------------------------------------------------------------


def test_demo_writes_where_and_as_much_as_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = lloom("demo", "--max-concepts", 2)
    assert result.exit_code == 0, result.output
    assert "no language model" in result.stdout.replace("\n", " ")
    scores = pd.read_parquet(tmp_path / "lloom-demo" / "scores.parquet")
    assert scores["concept_id"].nunique() == 2
    assert scores["comment_id"].nunique() == 200
    report = page_of(tmp_path / "lloom-demo" / "report.html")
    assert "<title>Comments on a transport plan</title>" in report
    assert '"column":"neighbourhood"' in report


def test_a_page_is_named_after_its_session_and_written_beside_it(
    posts_csv: Path, book: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert lloom("score", book, posts_csv, "--text-col", "text", "--out", out).exit_code == 0
    (out / "session.lloom").rename(out / "study.lloom")
    assert_refused(lloom("view", out, "--no-open"), "holds no session.lloom")
    result = lloom("view", out / "study.lloom", "--no-open")
    assert result.exit_code == 0, result.output
    assert f"Wrote {out / 'study.html'} (" in result.stdout
    page = page_of(out / "study.html")
    assert "<title>study</title>" in page
    assert '"texts":true' in page
    assert '"column":"area"' not in page
    told = re.search(r"\(([\d.]+) MB\)", result.stdout)
    assert told is not None
    assert float(told[1]) == pytest.approx((out / "study.html").stat().st_size / 1e6, abs=0.051)
    bare = lloom("view", out / "study.lloom", "--no-open", "--no-text", "--out", tmp_path / "bare.html")
    assert bare.exit_code == 0, bare.output
    assert '"texts":false' in page_of(tmp_path / "bare.html")


def test_models_that_are_ready_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0a1b2c3d4e")
    lines = lloom("models").stdout.splitlines()
    listed = [line for line in lines if not line.startswith(" ")]
    ready = [": " in line or " ready" in line for line in listed[:-1] if " ready" in line or "needs" in line]
    assert ready == sorted(ready, reverse=True)
    assert any(re.match(r"anthropic.* ready", line) for line in listed)
    assert re.search(r"openai:text-embedding-3-large +\$0\.13 in, .*, for --embed-model", "\n".join(lines))
    assert re.search(
        r"openai:gpt-4o-mini +\$0\.15 in, \$0\.60 out .* context 128000 tokens", "\n".join(lines)
    )
    assert lines[-1].startswith("Any other name works, too")


def test_a_folder_that_cannot_be_written_to_is_told(
    posts_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)
    result = lloom("run", posts_csv, "--text-col", "text", "--out", tmp_path / "out")
    assert_refused(result, f"{tmp_path} cannot be written to")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        pytest.param(
            ["--price-per-million", 1], "--price-per-million needs a paid --model", id="price-of-local"
        ),
        pytest.param(
            ["--model", "openai:m", "--price-per-million", "1,2,3"], "such as 0.15,0.6", id="three-prices"
        ),
        pytest.param(
            ["--model", "openai:m", "--price-per-million", "-1"],
            "--price-per-million -1: expected",
            id="negative-price",
        ),
        pytest.param(
            ["--model", "openai:m", "--price-per-million", "inf"],
            "--price-per-million inf: expected",
            id="infinite-price",
        ),
        pytest.param(["--embed-model", "openai:"], "--embed-model openai:", id="embedder-nameless"),
        pytest.param(["--model", "opnai:m"], "Did you mean 'openai'", id="provider"),
        pytest.param(
            ["--model", "anthropic:claude-haiku-4-5", "--base-url", "http://127.0.0.1:9/v1"],
            "the model is anthropic:claude-haiku-4-5",
            id="base-url-of-another",
        ),
    ],
)
def test_options_that_do_not_go_together_are_told(
    posts_csv: Path, tmp_path: Path, options: list[object], told: str
) -> None:
    out = tmp_path / "out"
    assert_refused(lloom("run", posts_csv, "--text-col", "text", "--out", out, *options), told)
    assert not out.exists()


def test_the_report_groups_as_many_slices_as_it_is_told(posts: pd.DataFrame, tmp_path: Path) -> None:
    posts.assign(person=[f"P{i}" for i in range(len(posts))]).to_csv(tmp_path / "p.csv", index=False)
    arguments = ["run", tmp_path / "p.csv", *QUICK, "--slice", "person"]
    few = lloom(*arguments, "--out", tmp_path / "few", "--max-slice-bins", 4)
    assert few.exit_code == 0, few.output
    assert few.stderr.count(f"Pass --max-slice-bins={len(posts)}") == 1
    all_of_them = lloom(*arguments, "--out", tmp_path / "all", "--slice-sep", "/", "--max-slice-bins", 50)
    assert all_of_them.exit_code == 0, all_of_them.output
    assert '"P35"' in page_of(tmp_path / "all" / "report.html")
