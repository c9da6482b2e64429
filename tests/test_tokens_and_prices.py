"""Counting tokens and pricing them, without a network."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text_lloom.errors import InputError
from text_lloom.llm import Model
from text_lloom.llm.control.prices import (
    Price,
    dollars,
    known_context_window,
    known_price,
    nearest_model,
    parse_cost,
    per_million,
)
from text_lloom.llm.control.tokens import Calibration, _counter, count_tokens, is_exact

ENGLISH = (
    "The council wants to double the parking fees on Market Street. Shop owners fear that customers will "
    "drive to the mall instead, and residents were never asked what they think about it."
)
CODE = """
def running_mean(values: list[float], window: int = 5) -> list[float]:
    return [sum(values[i : i + window]) / window for i in range(len(values) - window + 1)]
"""
CHINESE = "市议会想把市场街的停车费提高一倍。店主们担心顾客会改去商场购物，居民们从来没有被征求过意见。"
GERMAN = "Die Straßenbahngesellschaft erhöht die Fahrpreise, obwohl die Verspätungen zugenommen haben."
ARABIC = "يريد المجلس مضاعفة رسوم وقوف السيارات في شارع السوق."
EMOJI = "😟😟 why?! 🚌🚌🚌 late again 👨‍👩‍👧"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    _counter.cache_clear()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("model", ["gpt-4o-mini", "text-embedding-3-large", "gemini-2.0-flash", ""])
@pytest.mark.parametrize(
    ("text", "tokens"),  # counted with o200k_base
    [(ENGLISH, 35), (CODE, 48), (CHINESE, 39), (GERMAN, 22), (ARABIC, 14), (EMOJI, 22)],
    ids=["English", "code", "Chinese", "German", "Arabic", "emoji"],
)
def test_counts_are_near_the_truth_for_every_script(text: str, tokens: int, model: str) -> None:
    assert 0.6 * tokens < count_tokens(text, model) < 1.5 * tokens


def test_nothing_is_nothing_and_anything_is_something() -> None:
    assert count_tokens("") == 0
    assert count_tokens(".") == 1
    assert count_tokens("a") == 1


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("bus", 1),
        ("unreasonable", 2),
        ("Straßenbahn", 3),
        ("40", 1),
        ("12345", 2),
        ("why?!", 2),
        ("!!!!", 2),
        ("late_bus", 3),
        ("late\n\n\nbus", 3),
        ("late \t bus", 2),
        ("晚点了", 3),
        ("รถสาย", 5),
        ("🚌", 2),
        ("🚌☀", 4),
    ],
)
def test_without_a_vocabulary_pieces_of_text_are_counted(text: str, tokens: int) -> None:
    assert count_tokens(text, "gpt-4o") == tokens


def learned(*replies: tuple[int, int]) -> Calibration:
    calibration = Calibration()
    for estimated, reported in replies:
        calibration.learn(estimated, reported)
        calibration.replies += 1
    return calibration


def test_estimates_are_corrected_by_what_models_report_once_there_are_five_replies() -> None:
    assert Calibration().factor == 1.0
    assert learned(*[(100, 150)] * 4).factor == 1.0
    assert learned(*[(100, 150)] * 5).factor == 1.5
    assert learned(*[(100, 150)] * 3, (200, 100), (100, 50)).factor == 1.0
    assert learned(*[(0, 0)] * 9).factor == 1.0, "nothing was estimated"


@pytest.mark.parametrize(("reported", "factor"), [(10, 0.25), (25, 0.25), (30, 0.3), (390, 3.9), (900, 4.0)])
def test_an_odd_report_does_not_correct_beyond_reason(reported: int, factor: float) -> None:
    assert learned(*[(100, reported)] * 5).factor == factor


def test_the_first_twenty_replies_are_learned_from_and_then_every_25th() -> None:
    due = [n for n in range(80) if Calibration(replies=n).is_due]
    assert due == [*range(20), 25, 50, 75]


@given(st.text(max_size=200))
def test_any_text_can_be_counted(text: str) -> None:
    assert 0 <= count_tokens(text) <= 2 * len(text)


def test_lone_surrogates_do_not_matter() -> None:
    assert count_tokens("broken \ud83d emoji") > 0


def test_more_text_has_more_tokens() -> None:
    counts = [count_tokens(ENGLISH * n) for n in (1, 2, 4, 8)]
    assert counts == sorted(counts)
    assert counts[3] == pytest.approx(8 * counts[0], rel=0.05)


def test_a_damaged_vocabulary_is_not_downloaded_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790"
    damaged.write_bytes(b"IQ== 0\n")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert not is_exact("gpt-4o")
    assert count_tokens(ENGLISH, "gpt-4o") > 0
    assert damaged.read_bytes() == b"IQ== 0\n"


@pytest.mark.parametrize("model", ["gemini-2.0-flash", "claude-sonnet-4", "my-model", ""])
def test_counts_for_other_providers_are_never_called_exact(model: str) -> None:
    assert not is_exact(model)


@pytest.mark.parametrize("folder", ["", "missing", "occupied"])
def test_without_a_usable_folder_of_vocabularies_counts_are_estimates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / "occupied").write_text("")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / folder) if folder else "")
    assert not is_exact("gpt-4o")
    assert not is_exact("gpt-4")
    assert count_tokens("unreasonable", "gpt-4") == 2


# --- prices --------------------------------------------------------------------------------------------


def test_list_prices_of_the_default_models_are_known() -> None:
    mini, full = known_price("gpt-4o-mini", "openai"), known_price("gpt-4o", "openai")
    embedding = known_price("text-embedding-3-large", "openai")
    assert mini == (pytest.approx(0.15e-6), pytest.approx(0.6e-6))
    assert full is not None
    assert full.input > mini.input
    assert embedding is not None
    assert embedding.input == pytest.approx(0.13e-6)
    assert known_context_window("gpt-4o-mini", "openai") == 128_000


@pytest.mark.parametrize("name", ["my-finetuned-llama", "", "gpt-99-ultra-unheard-of"])
def test_an_unknown_model_has_no_price_rather_than_none_to_pay(name: str) -> None:
    assert known_price(name) is None
    assert known_context_window(name) is None


def test_a_price_is_per_token_in_and_out() -> None:
    assert Price(2e-6, 8e-6).of(1_000_000, 500_000) == pytest.approx(6.0)


@pytest.mark.parametrize("cost", ["0.15", {"input": 1}, (1, 2, 3), [], (None, None), (1, "2"), -0.1])
def test_what_is_no_price_is_refused_with_an_example(cost: object) -> None:
    with pytest.raises(InputError, match=r"cost=.*expected \(input, output\) in USD per token"):
        parse_cost(cost)


@pytest.mark.parametrize("cost", [0.15, (0.15, 0.6), [2.5, 10], 15, (0, 3)])
def test_a_price_per_million_tokens_is_not_taken_for_one_per_token(cost: object) -> None:
    with pytest.raises(InputError, match=r"dollars per token.*cost=per_million\(\d.*\)") as told:
        Model("m", None, lambda m, p: "ok", cost=cost)  # type: ignore[arg-type]
    written = re.search(r"cost=per_million\(([^)]*)\)", str(told.value))
    assert written is not None
    figures = [float(figure) for figure in re.findall(r"[\d.]+", written[1])]
    assert figures == pytest.approx([*cost] if isinstance(cost, (list, tuple)) else [cost, cost])


def test_the_dearest_price_that_is_taken() -> None:
    assert parse_cost((0.001, 0.0006)) == Price(0.001, 0.0006)
    assert Model("m", None, lambda m, p: "ok", cost=per_million(0.15, 0.6)).cost == Price(0.15e-6, 0.6e-6)
    assert per_million(2) == Price(2e-6, 2e-6)


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (0.0, "$0.00"),
        (0.5, "$0.50"),
        (1234.5, "$1,234.50"),
        (0.1 + 0.2, "$0.30"),
        (4.9987, "$4.9987"),
        (0.002, "$0.0020"),
        (0.00004, "$0.000040"),
    ],
)
def test_an_amount_that_is_not_nothing_never_reads_as_nothing(usd: float, shown: str) -> None:
    assert dollars(usd) == shown


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (0.001, "$0.0010"),
        (0.000999, "$0.000999"),
        (0.01, "$0.01"),
        (0.0149, "$0.0149"),
        (12_345.678, "$12,345.6780"),
    ],
)
def test_amounts_have_the_digits_that_tell_them_apart(usd: float, shown: str) -> None:
    assert dollars(usd) == shown


@pytest.mark.parametrize(
    ("cost", "price"),
    [
        (None, None),
        (0, (0.0, 0.0)),
        (2e-6, (2e-6, 2e-6)),
        ((1e-6, 3e-6), (1e-6, 3e-6)),
        ([1e-6, 3e-6], (1e-6, 3e-6)),
        ([1e-6], (1e-6, 1e-6)),
        ((0, 0.0005), (0.0, 0.0005)),
        (Price(1e-6, 3e-6), (1e-6, 3e-6)),
    ],
    ids=repr,
)
def test_a_price_may_be_written_in_several_ways(cost: object, price: object) -> None:
    assert parse_cost(cost) == price


@pytest.mark.parametrize(
    "cost", [(1, 2, 3), (1, -2), (-1, 2), float("nan"), (float("inf"), 1), True, "12", {}], ids=repr
)
def test_odd_prices_are_refused(cost: object) -> None:
    with pytest.raises(InputError, match="cost="):
        parse_cost(cost)


def test_a_price_counts_input_and_output_apart() -> None:
    assert Price(2.0, 3.0).of(5, 7) == 31.0
    price = known_price("gpt-4o", "openai")
    assert price is not None
    assert price.output == pytest.approx(4 * price.input)


def test_the_nearest_name_is_told_for_a_mistyped_model() -> None:
    assert nearest_model("gpt-4o-mni") == "gpt-4o-mini"
    assert nearest_model("my-finetuned-llama-of-the-north") is None
    assert nearest_model("gpt-4o-mini") != "gpt-4o-mini", "a name is not its own neighbour"


def test_a_model_is_looked_for_at_its_provider() -> None:
    assert known_price("gpt-4o-mini", "anthropic") is None
    assert known_context_window("gpt-4o-mini", "anthropic") is None
    assert known_price("gpt-4o-mini") == known_price("gpt-4o-mini", "openai")
