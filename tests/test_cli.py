"""The command line: what it writes, what it says when something is wrong, and its exit status."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from tests.fake_provider.fixtures import FakeProvider
from text_lloom.cli import app
from text_lloom.llm.control.paid_call_guard import allow_paid_calls

WRITTEN = [
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
SUBJECTS = [
    "The {n} bus is late again and nobody at the stop knows why.",
    "The monthly ticket is too expensive, and fares went up by {n} percent.",
    "The bike lane on road {n} is full of parked cars.",
]


def lloom(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def assert_refused(result: Result, *told: str, status: int = 1) -> None:
    """One plain error, nothing on standard output, no traceback."""
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert all(part in result.stderr for part in told), result.stderr


@pytest.fixture
def posts() -> pd.DataFrame:
    texts = [SUBJECTS[n % 3].format(n=n + 2) for n in range(36)]
    return pd.DataFrame({"key": [f"k{n:02d}" for n in range(36)], "text": texts, "area": list("NSE") * 12})


@pytest.fixture
def posts_csv(posts: pd.DataFrame, tmp_path: Path) -> Path:
    posts.to_csv(tmp_path / "posts.csv", index=False)
    return tmp_path / "posts.csv"


@pytest.fixture
def paid_calls() -> Iterator[None]:
    before = allow_paid_calls(True)
    yield
    allow_paid_calls(before)


def check_results(folder: Path, posts: pd.DataFrame, id_col: str = "key") -> pd.DataFrame:
    """The files, complete and in agreement; gives the scores."""
    assert sorted(path.name for path in folder.iterdir()) == WRITTEN
    scores = pd.read_parquet(folder / "scores.parquet")
    n_concepts = scores["concept_id"].nunique()
    assert n_concepts >= 1
    assert len(scores) == len(posts) * n_concepts
    assert scores["text"].tolist() == posts["text"].tolist() * n_concepts
    if id_col in posts:
        assert scores[id_col].tolist() == posts[id_col].tolist() * n_concepts
    assert all(quote in text for quote, text in zip(scores["highlight"], scores["text"], strict=True))
    as_csv = pd.read_csv(folder / "scores.csv", keep_default_na=False, dtype=str)
    assert as_csv["text"].tolist() == scores["text"].tolist()
    assert [float(score) for score in as_csv["score"] if score] == scores["score"].dropna().tolist()
    concepts = pd.read_csv(folder / "concepts.csv")
    assert concepts["concept"].tolist()[-1] == "Outlier"
    assert len(concepts) == n_concepts + 1
    book = json.loads((folder / "codebook.json").read_text(encoding="utf-8"))
    assert {concept["id"] for concept in book["concepts"]} >= set(scores["concept_id"])
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert all(name in page for name in scores["concept_name"].unique())
    return scores


# --- what works ----------------------------------------------------------------------------------------


def test_demo_runs_as_a_program(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from text_lloom.cli import main; main()"]
    ran = subprocess.run(
        [*command, "demo", "--out", "out", "--max-concepts", "4"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    # On a busy machine a step takes long enough for a line of progress.
    assert re.sub(r"(?m)^[\w ()-]+ \d+/\d+.*\n", "", ran.stderr) == ""
    assert "local engine" in ran.stdout
    assert "Written to out:" in ran.stdout
    scores = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    assert len(scores) == 200 * 4
    assert all(name in ran.stdout for name in scores["concept_name"].unique())


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_run_reads_every_kind_of_table(posts: pd.DataFrame, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"posts.{suffix}"
    match suffix:
        case "csv" | "tsv":
            posts.to_csv(path, index=False, sep="," if suffix == "csv" else "\t")
        case "jsonl":
            posts.to_json(path, orient="records", lines=True)
        case _:
            posts.to_parquet(path)
    result = lloom("run", path, "--text-col", "text", "--id-col", "key", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    check_results(tmp_path / "out", posts)
    assert "Total cost: $0.00" in result.stdout
    assert "Models: local" in result.stdout


def test_run_numbers_rows_and_follows_its_options(
    posts: pd.DataFrame, posts_csv: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "er" / "out"
    arguments = ["--text-col", "text", "--slice", "area", "--max-concepts", 1, "--seed", "bus", "--target", 5]
    result = lloom("run", posts_csv, *arguments, "--out", out)
    assert result.exit_code == 0, result.output
    scores = check_results(out, posts, id_col="id")
    assert scores["id"].tolist() == list(range(36))
    assert scores["concept_seed"].unique().tolist() == ["bus"]
    assert "area" in (out / "report.html").read_text(encoding="utf-8")


def test_view_writes_the_page_of_a_run_or_a_session(
    posts_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    out = tmp_path / "out"
    arguments = ["--text-col", "text", "--id-col", "key", "--max-concepts", 2]
    assert lloom("run", posts_csv, *arguments, "--out", out).exit_code == 0
    result = lloom("view", out, "--slice", "area")
    assert result.exit_code == 0, result.output
    assert opened == [(out / "session.html").resolve().as_uri()]
    page = (out / "session.html").read_text(encoding="utf-8")
    assert '"column":"area"' in page
    assert '"editable":false' in page
    bare = tmp_path / "bare.html"
    result = lloom("view", out / "session.lloom", "--out", bare, "--no-text", "--max-docs", 5, "--no-open")
    assert result.exit_code == 0, result.output
    assert len(opened) == 1
    assert '"sample":{"shown":5,"of":36}' in bare.read_text(encoding="utf-8")
    assert_refused(lloom("view", tmp_path, "--no-open"), "holds no session.lloom")
    assert_refused(lloom("view", tmp_path / "no.lloom", "--no-open"), "no.lloom")


def test_another_encoding_can_be_named(posts: pd.DataFrame, tmp_path: Path) -> None:
    latin = posts.assign(text=posts["text"] + " Café Zoë.")
    latin.to_csv(tmp_path / "latin.csv", index=False, encoding="cp1252")
    arguments = ["run", tmp_path / "latin.csv", "--text-col", "text", "--out", tmp_path / "out"]
    assert_refused(lloom(*arguments), "latin.csv", "not utf-8", "--encoding cp1252")
    result = lloom(*arguments, "--encoding", "cp1252")
    assert result.exit_code == 0, result.output
    check_results(tmp_path / "out", latin, id_col="id")


def test_a_codebook_scores_new_documents(posts: pd.DataFrame, posts_csv: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert lloom("run", posts_csv, "--text-col", "text", "--id-col", "key", "--out", first).exit_code == 0
    new = pd.DataFrame(
        {"body": ["A late bus again.", "Cheaper tickets, please.", "A bike lane at last."], "n": [7, 8, 9]}
    )
    new.to_csv(tmp_path / "new.csv", index=False)
    result = lloom(
        "score", first / "codebook.json", tmp_path / "new.csv",
        "--text-col", "body", "--id-col", "n", "--slice", "n", "--out", second,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    old = pd.read_parquet(first / "scores.parquet")
    scores = pd.read_parquet(second / "scores.parquet")
    concepts = old["concept_id"].unique().tolist()
    assert scores["concept_id"].unique().tolist() == concepts
    assert scores["n"].tolist() == [7, 8, 9] * len(concepts)
    assert scores["score"].notna().all()


def test_a_codebook_may_be_a_plain_table(posts: pd.DataFrame, posts_csv: Path, tmp_path: Path) -> None:
    book = tmp_path / "book.csv"
    book.write_text(
        "name,criteria\nLate buses,Does the text say that a bus is late?\n"
        "Fares,Does the text say that fares are too high?\n",
        encoding="utf-8",
    )
    result = lloom("score", book, posts_csv, "--text-col", "text", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    scores = check_results(tmp_path / "out", posts, id_col="id")
    assert scores["concept_name"].unique().tolist() == ["Late buses", "Fares"]


def test_run_with_a_server_of_one_s_own(
    posts: pd.DataFrame,
    posts_csv: Path,
    tmp_path: Path,
    fake_provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    paid_calls: None,
) -> None:
    monkeypatch.setenv("LLOOM_API_KEY", fake_provider.api_key)
    arguments = [
        "run", posts_csv, "--text-col", "text", "--id-col", "key",
        "--model", "openai:own-model", "--base-url", fake_provider.base_url,
    ]  # fmt: skip
    priced = lloom(
        *arguments, "--price-per-million", "1,2", "--embed-model", "openai:own-embedder", "--yes",
        "--out", tmp_path / "priced",
    )  # fmt: skip
    assert priced.exit_code == 0, priced.output
    assert re.search(r"Total cost: \$0\.0[1-9]\d* \+ \d+ requests of unknown price", priced.stdout)
    assert "Models: own-model, own-embedder" in priced.stdout
    check_results(tmp_path / "priced", posts)
    assert {entry.model for entry in fake_provider.stats().requests} == {"own-model", "own-embedder"}

    unknown = lloom(*arguments, "--out", tmp_path / "unknown")
    assert unknown.exit_code == 0, unknown.output
    assert "Warning: Estimated cost" in unknown.stderr
    assert "unknown cost of own-model" in unknown.stderr
    assert "Pass --budget (in USD)" in unknown.stderr
    assert "--yes" in unknown.stderr
    check_results(tmp_path / "unknown", posts)

    free = lloom(*arguments, "--price-per-million", "0", "--out", tmp_path / "free")
    assert free.exit_code == 0, free.output
    assert "Warning" not in free.stderr
    check_results(tmp_path / "free", posts)


def test_a_budget_stops_the_run_and_keeps_what_is_done(
    posts: pd.DataFrame,
    posts_csv: Path,
    tmp_path: Path,
    fake_provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    paid_calls: None,
) -> None:
    monkeypatch.setenv("LLOOM_API_KEY", fake_provider.api_key)
    book = tmp_path / "book.csv"
    book.write_text("name,criteria\nLate buses,Does the text say that a bus is late?\n", encoding="utf-8")
    arguments = [
        "score", book, posts_csv, "--text-col", "text", "--id-col", "key",
        "--model", "openai:own-model", "--base-url", fake_provider.base_url,
    ]  # fmt: skip
    assert_refused(
        lloom(*arguments, "--budget", 1, "--out", tmp_path / "no"),
        "price of own-model",
        "--price-per-million 0",
    )
    assert fake_provider.stats().paid == 0

    out = tmp_path / "out"
    result = lloom(*arguments, "--price-per-million", "100,100", "--budget", "0.5", "--out", out)
    assert result.exit_code == 3, result.output
    assert "Stopped: The budget of $0.50 is reached" in result.stderr
    assert "Incomplete: " in result.stderr
    scores = check_results(out, posts)
    scored = int(scores["score"].notna().sum())
    assert 0 < scored < len(posts)
    assert f"{len(posts) - scored} of {len(posts)} scores are missing" in result.stderr
    assert fake_provider.stats().paid == scored

    rest = lloom(*arguments, "--price-per-million", "100,100", "--budget", "5", "--out", out)
    assert rest.exit_code == 0, rest.output
    assert check_results(out, posts)["score"].notna().all()
    n_summaries = 1
    assert fake_provider.stats().paid == len(posts) + n_summaries, "nothing is paid twice"

    arguments[arguments.index("openai:own-model")] = "openai:other-model"
    nothing = lloom(
        *arguments, "--price-per-million", "100,100", "--budget", "0", "--out", tmp_path / "nothing"
    )
    assert nothing.exit_code == 3
    assert "nothing is written" in nothing.stderr
    assert not (tmp_path / "nothing").exists()
    assert fake_provider.stats().paid == len(posts) + n_summaries


def test_failures_make_the_status_three(
    posts_csv: Path,
    tmp_path: Path,
    fake_provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    posts: pd.DataFrame,
    paid_calls: None,
) -> None:
    monkeypatch.setenv("LLOOM_API_KEY", fake_provider.api_key)
    fake_provider.control(p_malformed=0.3, malformed_kinds=["refusal"], seed=3)
    book = tmp_path / "book.csv"
    book.write_text("name,criteria\nLate buses,Does the text say that a bus is late?\n", encoding="utf-8")
    result = lloom(
        "score", book, posts_csv, "--text-col", "text", "--id-col", "key", "--model", "openai:own-model",
        "--base-url", fake_provider.base_url, "--price-per-million", 0, "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 3, result.output
    scores = check_results(tmp_path / "out", posts)
    missing = int(scores["score"].isna().sum())
    assert missing > 0
    assert f"Incomplete: {missing} of 36 scores are missing" in result.stderr


def test_models_are_listed_with_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    without = lloom("models")
    assert without.exit_code == 0
    assert re.search(r"^local +ready", without.stdout, re.MULTILINE)
    assert re.search(r"^openai +needs OPENAI_API_KEY$", without.stdout, re.MULTILINE)
    assert re.search(r"openai:gpt-4o-mini +\$[\d.]+ in, \$[\d.]+ out", without.stdout)
    assert re.search(
        r"openai:text-embedding-\S+ +\$[\d.]+ in, .*, for --embed-model$", without.stdout, re.MULTILINE
    )
    monkeypatch.setenv("OPENAI_API_KEY", "sk-live-0a1b2c3d4e")
    with_key = lloom("models")
    assert "ready: OPENAI_API_KEY is set" in with_key.stdout
    assert "0a1b2c3d4e" not in with_key.output


@pytest.mark.parametrize("command", ["demo", "run", "score", "models"])
def test_help_has_an_example(command: str) -> None:
    result = lloom(command, "--help")
    assert result.exit_code == 0
    assert re.search(rf"Examples?: lloom {command}", result.stdout)


def test_help_tells_what_the_exit_status_means() -> None:
    shown = lloom("--help").stdout
    assert all(command in shown for command in ("demo", "run", "score", "models"))
    assert "0 done, 1 error, 2 wrong usage, 3 done in part, 130 stopped" in shown


# --- what goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["--text-col", "txt"], ["--text-col='txt'", "Did you mean 'text'?"], id="text-col"),
        pytest.param(
            ["--text-col", "text", "--id-col", "kye"], ["--id-col='kye'", "Did you mean 'key'?"], id="id-col"
        ),
        pytest.param(
            ["--text-col", "text", "--slice", "aera"], ["--slice='aera'", "Did you mean 'area'?"], id="slice"
        ),
        pytest.param(
            ["--text-col", "text", "--id-col", "area"], ["'N', 'S', 'E'", "more than once"], id="repeated-ids"
        ),
        pytest.param(
            ["--text-col", "text", "--model", "gpt-4o"], ["--model gpt-4o", "openai:gpt-4o"], id="model"
        ),
        pytest.param(["--text-col", "text", "--model", "openai:"], ["openai:<name>"], id="model-nameless"),
        pytest.param(
            ["--text-col", "text", "--embed-model", "words"], ["--embed-model words"], id="embed-model"
        ),
        pytest.param(
            ["--text-col", "text", "--base-url", "http://127.0.0.1:9/v1"],
            ["--base-url needs --model openai:<name>"],
            id="base-url",
        ),
        pytest.param(
            ["--text-col", "text", "--model", "openai:m", "--price-per-million", "cheap"],
            ["--price-per-million cheap"],
            id="price",
        ),
        pytest.param(["--text-col", "text", "--encoding", "utf-9"], ["encoding='utf-9'"], id="encoding"),
    ],
)
def test_wrong_options_are_told_plainly(
    posts_csv: Path, tmp_path: Path, arguments: list[str], told: list[str]
) -> None:
    out = tmp_path / "out"
    assert_refused(lloom("run", posts_csv, "--out", out, *arguments), *told)
    assert not out.exists()


def test_missing_and_strange_files_are_told_plainly(posts_csv: Path, tmp_path: Path) -> None:
    out = ["--text-col", "text", "--out", tmp_path / "out"]
    assert_refused(lloom("run", tmp_path / "post.csv", *out), "post.csv", "Did you mean", "posts.csv")
    assert_refused(lloom("run", tmp_path, *out), "is a folder", "posts.csv")
    notes = tmp_path / "notes.txt"
    notes.write_text("text\nlate\n", encoding="utf-8")
    assert_refused(lloom("run", notes, *out), "'.txt'", ".csv", ".parquet")
    empty = tmp_path / "empty.csv"
    empty.write_text("", encoding="utf-8")
    assert_refused(lloom("run", empty, *out), "empty.csv")
    assert_refused(lloom("score", tmp_path / "no.json", posts_csv, *out), "no.json")
    assert_refused(lloom("score", posts_csv, posts_csv, *out), "posts.csv", "name")
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    assert_refused(lloom("score", broken, posts_csv, *out), "broken.json", "not JSON")


def test_a_place_that_cannot_be_written_to_is_told_before_the_work(posts_csv: Path) -> None:
    for out in (posts_csv, posts_csv / "deeper"):
        result = lloom("run", posts_csv, "--text-col", "text", "--out", out)
        assert_refused(result, f"--out {out}", "is a file")
        assert "Concept" not in result.stdout


def test_a_missing_key_is_told(posts_csv: Path, tmp_path: Path, paid_calls: None) -> None:
    result = lloom(
        "run", posts_csv, "--text-col", "text", "--model", "openai:gpt-4o-mini", "--yes",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert_refused(result, "OPENAI_API_KEY")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["run", "posts.csv", "--out", "o"], id="no-text-col"),
        pytest.param(["run", "posts.csv", "--text-col", "text"], id="no-out"),
        pytest.param(["run"], id="no-table"),
        pytest.param(["run", "p.csv", "--text-col", "t", "--out", "o", "--max-concepts", "0"], id="number"),
        pytest.param(["run", "p.csv", "--text-col", "t", "--out", "o", "--budget", "-1"], id="budget"),
        pytest.param(["run", "p.csv", "--textcol", "t", "--out", "o"], id="unknown-option"),
        pytest.param(["scor"], id="unknown-command"),
    ],
)
def test_wrong_usage_has_the_status_two(arguments: list[str]) -> None:
    assert_refused(lloom(*arguments), status=2)


def test_declining_at_the_terminal_writes_nothing(
    posts_csv: Path,
    tmp_path: Path,
    fake_provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    paid_calls: None,
) -> None:
    monkeypatch.setenv("LLOOM_API_KEY", fake_provider.api_key)
    monkeypatch.setattr("text_lloom.session.spend.is_interactive", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _="": "n")
    result = lloom(
        "run", posts_csv, "--text-col", "text", "--model", "openai:m", "--base-url", fake_provider.base_url,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 1
    assert "Cancelled generation and scoring." in result.stdout
    assert fake_provider.stats().paid == 0
    assert not (tmp_path / "out").exists()
