"""Positions on the map: documents about the same subject are close together, and runs are reproducible."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.view_session import LOCAL
from text_lloom.analysis.layout import lay_out, word_vectors
from text_lloom.errors import PaidCallRefused
from text_lloom.llm.model import EmbedModel
from text_lloom.testing import HashEmbedModel

SUBJECTS = {
    "buses": "the bus to {} was late and the driver said nothing",
    "tickets": "a monthly ticket to {} costs far too much money",
    "cycling": "no safe lane for bicycles on the road to {}",
}
PLACES = ["Hull", "Leeds", "York", "Bath", "Derby", "Luton", "Crewe", "Dover", "Poole", "Truro"]


def frame(repeats: int = 3) -> pd.DataFrame:
    rows = [
        (subject, f"{text.format(place)} {number}")
        for number in range(repeats)
        for subject, text in SUBJECTS.items()
        for place in PLACES
    ]
    return pd.DataFrame(rows, columns=["subject", "text"])


def share_of_alike(places: np.ndarray, subjects: pd.Series) -> float:
    """How often the nearest document on the map is about the same subject."""
    apart = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.argmin(axis=1)
    return float((subjects.to_numpy() == subjects.to_numpy()[nearest]).mean())


@pytest.mark.parametrize("most_read", [20_000, 10], ids=["read", "by-words"])
def test_documents_about_the_same_lie_together(most_read: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("text_lloom.session.edit._MOST_READ", most_read)
    documents = frame()
    layouts = [wb.lloom(documents, "text", **LOCAL).map_layout() for _ in range(2)]
    pd.testing.assert_frame_equal(*layouts)
    places = layouts[0][["x", "y"]].to_numpy()
    assert np.abs(places).max() == pytest.approx(1.0)
    assert share_of_alike(places, documents["subject"]) > 0.9


def test_a_model_of_the_users_own_lays_out_anew() -> None:
    session = wb.lloom(frame(1), "text", **LOCAL)
    local = session.map_layout()
    own = session.map_layout(HashEmbedModel())
    assert not np.array_equal(local["x"], own["x"])
    pd.testing.assert_frame_equal(session.map_layout(), own)


def test_a_paid_model_is_not_asked_unnoticed() -> None:
    paid = EmbedModel("paid", None, lambda _, texts: [[1.0, 0.0] for _ in texts], cost=1e-6)
    session = wb.lloom(frame(1), "text", **LOCAL)
    with pytest.warns(UserWarning, match=r"Estimated cost.*the map"), pytest.raises(PaidCallRefused):
        session.map_layout(paid)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 30])
def test_any_number_of_documents_has_places(n: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(n, 5)).astype(np.float32)
    places = lay_out(vectors)
    assert places.shape == (n, 2)
    assert np.isfinite(places).all()
    assert np.isfinite(lay_out(np.ones((n, 4), np.float32))).all(), "equal documents, too"


def test_what_has_no_vector_has_no_place() -> None:
    vectors = np.eye(12, dtype=np.float32)
    vectors[3] = 0
    places = lay_out(vectors)
    assert np.isnan(places[3]).all()
    assert np.isfinite(np.delete(places, 3, axis=0)).all()
    assert np.isnan(lay_out(np.zeros((5, 3), np.float32))).all()


def test_words_of_any_script_make_vectors() -> None:
    texts = ["电车晚点了", "电车很贵", "الحافلة متأخرة", "الحافلة غالية", "late bus", "late tram", "?!", ""]
    vectors = word_vectors(texts)
    assert vectors[:6].any(axis=1).all()
    assert not vectors[6:].any()
    alike = vectors @ vectors.T
    assert all(alike[a, a + 1] > alike[a, (a + 2) % 6] for a in (0, 2, 4))
    assert word_vectors(["a", "b"]).shape == (2, 1)


def cloud(n: int, dimensions: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dimensions)).astype(np.float32)


@pytest.mark.parametrize("n", [5, 30], ids=["few", "more"])
def test_places_are_centred_and_fill_the_plane_up_to_one(n: int) -> None:
    places = lay_out(cloud(n))
    assert places.dtype == np.float32
    np.testing.assert_allclose(places.max(axis=0), -places.min(axis=0), atol=1e-5)
    assert np.abs(places).max() == pytest.approx(1.0)


def test_equal_input_and_seed_give_equal_places() -> None:
    np.testing.assert_array_equal(lay_out(cloud(40), random_state=3), lay_out(cloud(40), random_state=3))
    assert not np.allclose(lay_out(cloud(40), random_state=3), lay_out(cloud(40), random_state=4))


def test_a_few_documents_lie_as_far_apart_as_their_directions() -> None:
    angles = np.array([0.0, 0.1, 0.2, 1.5, 1.6])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    places = lay_out(vectors * np.array([[1], [2], [3], [4], [5]], np.float32))
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    truly = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    np.testing.assert_allclose(apart / apart.max(), truly / truly.max(), atol=1e-4)


def test_places_belong_to_their_documents_where_some_have_none() -> None:
    vectors = np.array([[1, 0], [0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], np.float32)
    places = lay_out(vectors)
    assert np.isnan(places).all(axis=1).tolist() == [False, True, False, False, False]
    assert np.linalg.norm(places[0] - places[2]) < np.linalg.norm(places[0] - places[3])
    assert np.linalg.norm(places[3] - places[4]) < np.linalg.norm(places[2] - places[3])


def test_nothing_has_no_places() -> None:
    assert lay_out(np.zeros((0, 4), np.float32)).shape == (0, 2)


def test_words_that_most_texts_use_do_not_count_and_neither_do_those_of_one() -> None:
    texts = ["the late bus", "the late tram", "the dear ticket", "the dear fare", "the benches", "the park"]
    vectors = word_vectors(texts)
    assert vectors.dtype == np.float32
    assert vectors.any(axis=1).tolist() == [True] * 4 + [False] * 2
    alike = vectors @ vectors.T
    assert alike[0, 1] == pytest.approx(1.0, abs=1e-5)
    assert alike[2, 3] == pytest.approx(1.0, abs=1e-5)
    assert alike[0, 2] == pytest.approx(0.0, abs=1e-5)


def test_a_few_words_are_reduced_where_there_are_more_than_two() -> None:
    three = word_vectors(["late bus", "late tram", "dear bus", "dear noon"])
    assert three.shape == (4, 2)
    two = word_vectors(["late bus", "late noon", "dear tram", "dear fare"])
    assert two.tolist() == [[0, 1], [0, 1], [1, 0], [1, 0]]


def test_words_of_very_many_kinds_make_a_hundred_numbers_at_most() -> None:
    texts = [f"word{n} word{n + 1} word{n + 2} place{n % 40}" for n in range(400)]
    vectors = word_vectors(texts)
    assert vectors.shape == (400, 100)
    np.testing.assert_array_equal(vectors, word_vectors(texts))
    assert not np.array_equal(vectors, word_vectors(texts, random_state=1))
    assert word_vectors(texts[:30]).shape[1] < 30
