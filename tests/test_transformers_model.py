"""Language models of transformers on this machine: tiny random ones, through the real libraries."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import BaseModel, Field

import text_lloom.workbench as wb
from tests.tiny_models import CHAT_TEMPLATE, save_language_model, save_unigram_model
from text_lloom.concept import Concept
from text_lloom.corpus import Document
from text_lloom.errors import (
    ContextOverflow,
    InputError,
    MissingPackage,
    ModelSetupError,
    StepFailed,
    UnknownName,
)
from text_lloom.llm import Completion, Failure, Message, ModelRequest, RetryPolicy, TransformersModel
from text_lloom.llm.ask import ask_all
from text_lloom.llm.cache import open_journal
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.runtime.event_loop import run_async
from text_lloom.operators.score import plan_scoring
from text_lloom.tasks import (
    Candidate,
    Item,
    ReviewMerge,
    ReviewRemove,
    ScoreDocuments,
    SelectConcepts,
    SummarizeConcept,
    SummarizeDocument,
    SynthesizeConcepts,
)

pytestmark = [
    pytest.mark.torch,
    # peft asks transformers by a name that is to go.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

PROMPTS = [
    "The bus is late every morning.",
    "Cars park in the bike lane all day, and nobody tells us why that is so.",
    "Why?",
    "Fares went up again and the service got worse. " * 4,
    "公交车又晚点了 🚌",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_language_model(tmp_path_factory.mktemp("model"), ['{"document": "D1", "concept": "C1"}'])


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    """Models this small are slowed down by several threads."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without a chat template."""
    return save_language_model(tmp_path_factory.mktemp("plain"), chat_template=None, positions=256)


def model_of(folder: Path, **more: Any) -> TransformersModel:
    more.setdefault("device", "cpu")
    more.setdefault("max_tokens", 24)
    return TransformersModel(str(folder), **more)


async def ask(model: TransformersModel, prompt: str | Sequence[Message], **more: Any) -> Completion:
    messages = (Message(role="user", content=prompt),) if isinstance(prompt, str) else tuple(prompt)
    params = {**model.params, **more.pop("params", {})}
    return await model.reply_to(ModelRequest(messages, params=params, **more))


def tokenizer_of(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


# --- batches -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [{}, {"temperature": 1.0, "seed": 7}, {"temperature": 0.8, "top_p": 0.9, "top_k": 40, "seed": 7}],
    ids=["greedy", "drawn", "drawn from the likeliest"],
)
async def test_replies_do_not_depend_on_what_else_is_in_the_batch(
    folder: Path, params: dict[str, Any]
) -> None:
    model = model_of(folder, **params)
    alone = [await ask(model, prompt) for prompt in PROMPTS]
    batches: list[int] = []
    answer = model._batcher._answer

    def counted(jobs: Any) -> Any:
        batches.append(len(jobs))
        return answer(jobs)

    model._batcher._answer = counted
    together = await asyncio.gather(*(ask(model, prompt) for prompt in PROMPTS))
    assert [reply.text for reply in together] == [reply.text for reply in alone]
    assert together == alone
    assert batches == [5]
    assert len({reply.text for reply in together}) == 5


async def test_tokens_are_counted_exactly(folder: Path) -> None:
    tokenizer = tokenizer_of(folder)
    model = model_of(folder)
    replies = await asyncio.gather(*(ask(model, prompt) for prompt in PROMPTS))
    for prompt, reply in zip(PROMPTS, replies, strict=True):
        rendered = f"<|user|>{prompt}</s><|assistant|>"
        assert reply.in_tokens == len(tokenizer(rendered, add_special_tokens=False)["input_ids"])
        assert (reply.out_tokens, reply.finish_reason) == (24, "length")
    assert model.count_tokens("The bus is late") == len(tokenizer("The bus is late")["input_ids"])
    ended = await ask(model, "Why?", regex="yes|no")
    assert ended.text in ("yes", "no")
    assert ended.finish_reason == "stop"
    letters = len(tokenizer(ended.text)["input_ids"])
    assert ended.out_tokens is not None
    assert letters + 1 <= ended.out_tokens <= len(ended.text) + 1, "the token that ends the text is one, too"


async def test_more_requests_than_fit_into_one_batch(folder: Path) -> None:
    model = model_of(folder, batch_size=3, max_tokens=4)
    prompts = [f"Ticket {n}" for n in range(10)]
    together = await asyncio.gather(*(ask(model, prompt) for prompt in prompts))
    alone = model_of(folder, batch_size=1, max_tokens=4)
    assert [reply.text for reply in together] == [(await ask(alone, prompt)).text for prompt in prompts]


async def test_one_request_that_cannot_be_answered_leaves_the_others_alone(plain_folder: Path) -> None:
    model = model_of(plain_folder)
    results = await asyncio.gather(
        ask(model, "Why?"), ask(model, "so many words " * 200), ask(model, "Where?"), return_exceptions=True
    )
    assert [type(result) for result in results] == [Completion, ContextOverflow, Completion]
    assert "a context window of 256" in str(results[1])


async def test_a_batch_that_does_not_fit_into_memory_is_split(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from text_lloom.llm.on_device import generation as generating
    from text_lloom.llm.on_device import transformers as provider

    sizes: list[int] = []
    room = 2

    def small_memory(model: Any, tokenizer: Any, rows: Any) -> Any:
        sizes.append(len(rows))
        if len(rows) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return generating.generate_rows(model, tokenizer, rows)

    monkeypatch.setattr(provider, "generate_rows", small_memory)
    model = model_of(folder, max_tokens=4)
    replies = await asyncio.gather(*(ask(model, prompt) for prompt in PROMPTS))
    assert sizes == [5, 2, 2, 1]
    assert len({reply.in_tokens for reply in replies}) == 5
    room = 0
    with pytest.raises(ContextOverflow, match="memory of the device is too small for a prompt of"):
        await ask(model, "Why?")


async def test_a_cancelled_request_stops_its_generation(folder: Path) -> None:
    model = model_of(folder, max_tokens=3900)
    await ask(model, "Why?", params={"max_tokens": 2})
    began = asyncio.Event()
    waiting = asyncio.create_task(ask(model, "Why?", on_chunk=lambda _: began.set()))
    await began.wait()
    queued = asyncio.create_task(ask(model, "Where?"))
    waiting.cancel()
    queued.cancel()
    await asyncio.gather(waiting, queued, return_exceptions=True)
    started = time.perf_counter()
    reply = await ask(model, "When?", params={"max_tokens": 2})
    short = time.perf_counter() - started
    assert reply.out_tokens == 2
    started = time.perf_counter()
    await ask(model, "When?", params={"max_tokens": 400})
    assert short < time.perf_counter() - started, "the rest of 3,900 tokens was not waited for"


# --- prompts -------------------------------------------------------------------------------------------

CONVERSATION = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="Why?"),
    Message(role="assistant", content="Because."),
    Message(role="user", content="And when?"),
)


def prompt_of(model: TransformersModel, messages: Sequence[Message]) -> str:
    text: str = model.client.tokenizer.decode(model._tokens(messages))
    return text


def test_prompts_go_through_the_chat_template(folder: Path) -> None:
    assert prompt_of(model_of(folder), CONVERSATION) == (
        "<|system|>Be brief.</s><|user|>Why?</s><|assistant|>Because.</s><|user|>And when?</s><|assistant|>"
    )
    own = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}{{ mood }}"
    model = model_of(folder, chat_template=own, template_kwargs={"mood": "!"})
    assert prompt_of(model, CONVERSATION) == "[Be brief.][Why?][Because.][And when?]!"


def test_a_template_without_system_messages_gets_it_with_the_first_message(folder: Path) -> None:
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    model = model_of(folder, chat_template=refusing + CHAT_TEMPLATE)
    assert prompt_of(model, CONVERSATION[:2]) == "<|user|>Be brief.\n\nWhy?</s><|assistant|>"


def test_a_tokenizer_without_a_template_gets_plain_text(plain_folder: Path) -> None:
    assert prompt_of(model_of(plain_folder), CONVERSATION) == (
        "System: Be brief.\n\nUser: Why?\n\nAssistant: Because.\n\nUser: And when?\n\nAssistant:"
    )


def test_a_broken_template_is_a_clear_error(folder: Path) -> None:
    with pytest.raises(ModelSetupError, match=r"chat template of model .* cannot be used.*chat_template="):
        model_of(folder, chat_template="{{ raise_exception('never') }}")._tokens(CONVERSATION[1:2])


# --- formats of replies --------------------------------------------------------------------------------


class Stance(enum.Enum):
    FOR = "for"
    AGAINST = "against"


class Claim(BaseModel):
    what: str
    certainty: int
    stance: Stance


class Reading(BaseModel):
    topic: Stance
    rating: int = Field(ge=1, le=5)
    claims: list[Claim]
    is_angry: bool | None = None


@pytest.mark.parametrize("max_tokens", [60, 300])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
async def test_a_schema_holds_whatever_the_model_is(
    folder: Path, max_tokens: int, temperature: float
) -> None:
    model = model_of(folder, max_tokens=max_tokens, temperature=temperature, seed=1)
    schema = Reading.model_json_schema()
    for reply in await asyncio.gather(*(ask(model, prompt, schema=schema) for prompt in PROMPTS)):
        assert reply.finish_reason == "stop"
        assert set(json.loads(reply.text)) == {"topic", "rating", "claims", "is_angry"}
        Reading.model_validate_json(reply.text)


@pytest.mark.parametrize(
    ("pattern", "max_tokens"),
    [
        (r"(yes|no|maybe), [0-9]{3}", 24),
        (r"[A-E]: .+\.", 12),
        (r"\d+", 5),
        ("(für|wider) 🚌", 24),
        (r"[a-z]{2,5}(-[a-z]{2,5})*", 9),
    ],
)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
async def test_a_pattern_holds(folder: Path, pattern: str, max_tokens: int, temperature: float) -> None:
    model = model_of(folder, max_tokens=max_tokens, temperature=temperature)
    for reply in await asyncio.gather(*(ask(model, prompt, regex=pattern) for prompt in PROMPTS)):
        assert re.fullmatch(pattern, reply.text), reply.text
        assert reply.finish_reason == "stop"


async def test_forms_hold_for_vocabularies_of_every_kind(tmp_path: Path) -> None:
    model = model_of(save_unigram_model(tmp_path), max_tokens=80, temperature=1.0, seed=1)
    for pattern in (r"(late|early), [0-9]{3}", r"(the bus|the 🚌) is (late|für)", r"[A-E]: .+\."):
        for reply in await asyncio.gather(*(ask(model, prompt, regex=pattern) for prompt in PROMPTS)):
            assert re.fullmatch(pattern, reply.text), reply.text
    for reply in await asyncio.gather(
        *(ask(model, prompt, schema=Reading.model_json_schema()) for prompt in PROMPTS)
    ):
        Reading.model_validate_json(reply.text)


async def test_requests_of_several_forms_share_a_batch(folder: Path) -> None:
    model = model_of(folder, max_tokens=60)
    free, number, claim, sampled = await asyncio.gather(
        ask(model, "Why?"),
        ask(model, "Why?", regex="[0-9]{4}"),
        ask(model, "Why?", schema=Claim.model_json_schema()),
        ask(model, "Why?", params={"temperature": 1.0, "seed": 3, "max_tokens": 5}),
    )
    assert (free.out_tokens, sampled.out_tokens) == (60, 5)
    assert number.text.isdigit()
    Claim.model_validate_json(claim.text)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"regex": r"(a)\1"}, "cannot be held by constrained decoding"),
        ({"regex": r"(?=a)b"}, "cannot be held by constrained decoding"),
        ({"regex": "("}, "cannot be held by constrained decoding"),
        ({"regex": "[0-9]{40}"}, "has at least 4[0-9] tokens .* only 24 are allowed. Set max_tokens="),
        ({"schema": {"type": "no such type"}}, "schema cannot be held by constrained decoding"),
        ({"schema": {"not": {"type": "string"}}}, "schema cannot be held by constrained decoding"),
    ],
    ids=["back reference", "look-ahead", "faulty", "too long", "unknown type", "negation"],
)
async def test_forms_that_cannot_be_held_are_refused(
    folder: Path, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        await ask(model_of(folder), "Why?", **asked)


CONCEPTS = tuple(Concept(f"Subject {n}", f"Is the text about subject {n}?") for n in range(3))
DOCUMENTS = (Document("a", "The bus is late."), Document("b", "Fares went up."))
CANDIDATES = tuple(Candidate(concept, 3) for concept in CONCEPTS)
TASKS = {
    "score": ScoreDocuments(DOCUMENTS, CONCEPTS[:2]),
    "score without quotes": ScoreDocuments(DOCUMENTS[:1], CONCEPTS, get_highlights=False),
    "bullets": SummarizeDocument("a", "The bus is late."),
    "patterns": SynthesizeConcepts(tuple(Item(n, f"The bus is late {n}") for n in range(12)), 3),
    "remove": ReviewRemove(CANDIDATES),
    "merge": ReviewMerge(CANDIDATES, 2),
    "select": SelectConcepts(CANDIDATES, 2),
    "summary": SummarizeConcept(CONCEPTS[0], ("The bus is late.",)),
}


@pytest.mark.parametrize("kind", TASKS)
async def test_operators_get_replies_that_fit_their_question(folder: Path, kind: str) -> None:
    task: Any = TASKS[kind]
    for seed in range(2):
        model = model_of(folder, max_tokens=200, temperature=1.0, seed=seed)
        run = Run(policy=RetryPolicy(attempts=1, re_asks=1))
        [answer] = await run_async(ask_all(model, [task], run=run))
        assert not isinstance(answer, Failure) or "takes out every concept" in answer.reason
        if kind == "score":
            assert [(s.doc_id, s.concept_id) for s in answer] == [
                (d.id, c.id) for d in DOCUMENTS for c in CONCEPTS[:2]
            ]


# --- generation parameters -----------------------------------------------------------------------------


async def test_seeds_decide_what_is_drawn(folder: Path) -> None:
    model = model_of(folder, temperature=1.2, seed=5)
    first, again = await ask(model, "Why?"), await ask(model, "Why?")
    other = await ask(model, "Why?", params={"seed": 6})
    assert first.text == again.text != other.text
    unseeded = model_of(folder, temperature=1.2)
    assert len({(await ask(unseeded, "Why?")).text for _ in range(4)}) == 4


async def test_several_replies_to_one_request(folder: Path) -> None:
    model = model_of(folder, temperature=1.0, seed=5, max_tokens=6)
    reply = await ask(model, "Why?", n=3)
    assert len({reply.text, *reply.others}) == 3
    single = await ask(model, "Why?")
    assert reply.text == single.text
    assert (reply.in_tokens, reply.out_tokens) == (single.in_tokens, 18), "the prompt counts once"


async def test_stop_strings_end_a_reply_and_are_left_out(folder: Path) -> None:
    model = model_of(folder, max_tokens=60)
    whole = (await ask(model, "Why?")).text
    middle = len(whole) // 2
    stop = whole[middle : middle + 2]
    reply = await ask(model, "Why?", params={"stop": [stop, "never in there"]})
    assert reply.text == whole[: whole.index(stop)]
    assert reply.finish_reason == "stop"
    assert reply.out_tokens is not None
    assert reply.out_tokens < 60


async def test_a_reply_can_be_read_as_it_comes(folder: Path) -> None:
    model = model_of(folder, max_tokens=60, temperature=1.0, seed=2)
    whole = (await ask(model, PROMPTS[4])).text
    pieces: list[str] = []
    others = asyncio.create_task(ask(model, "Why?"))
    reply = await ask(model, PROMPTS[4], on_chunk=pieces.append)
    await others
    assert reply.text == whole == "".join(pieces)
    assert len(pieces) > 10
    middle = len(whole) // 2
    stop = whole[middle : middle + 3]
    pieces.clear()
    reply = await ask(model, PROMPTS[4], on_chunk=pieces.append, params={"stop": stop})
    assert "".join(pieces) == reply.text == whole[: whole.index(stop)], "nothing of the stop string is shown"


async def test_penalties_change_what_comes(folder: Path) -> None:
    model = model_of(folder, max_tokens=80)
    plain = await ask(model, "Why?")
    varied = await ask(model, "Why?", params={"repetition_penalty": 2.0})
    assert plain.text != varied.text


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"temprature": 1}, UnknownName, "Did you mean 'temperature'"),
        ({"presence_penalty": 1}, UnknownName, "presence_penalty"),
        ({"temperature": -1}, InputError, "temperature=-1 must be a number of at least 0"),
        ({"top_p": 1.5}, InputError, "top_p=1.5 must be a number from 0 to 1"),
        ({"max_tokens": 0}, InputError, "max_tokens=0 must be a whole number of at least 1"),
        ({"stop": [""]}, InputError, "stop="),
        ({"bits": 3}, InputError, "bits=3 must be 4, 8 or None"),
        ({"batch_size": 0}, InputError, "batch_size=0 must be"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_parameters_are_checked_before_anything_is_loaded(
    params: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        TransformersModel(str(tmp_path), **params)


# --- weights -------------------------------------------------------------------------------------------


async def test_an_adapter_is_put_on_top(folder: Path, tmp_path: Path) -> None:
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(1)
    adapted = peft.get_peft_model(
        base, peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    )
    adapted.save_pretrained(tmp_path / "adapter")
    plain, changed = model_of(folder), model_of(folder, adapter=str(tmp_path / "adapter"))
    first, second = await ask(plain, "Why?"), await ask(changed, "Why?")
    assert first.text != second.text
    assert plain.parameters != changed.parameters
    assert re.fullmatch("[0-9]{3}", (await ask(changed, "Why?", regex="[0-9]{3}")).text)
    with pytest.raises(ModelSetupError, match="could not be loaded"):
        await ask(model_of(folder, adapter=str(tmp_path / "nothing")), "Why?")


async def test_keyword_arguments_reach_model_and_tokenizer(folder: Path) -> None:
    model = model_of(folder, model_kwargs={"dtype": "bfloat16"}, tokenizer_kwargs={"pad_token": "<s>"})
    await ask(model, "Why?")
    assert str(model.client.model.dtype) == "torch.bfloat16"
    assert model.client.tokenizer.pad_token == "<s>"
    assert model.context_window == 4096


async def test_quantisation_without_a_gpu_is_refused_with_what_to_do(folder: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ModelSetupError, match="bits=4 needs a CUDA GPU and the package bitsandbytes"):
        await ask(model_of(folder, bits=4), "Why?")


async def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelSetupError, match=r"could not be loaded: .*Give the folder"):
        await ask(model_of(tmp_path), "Why?")


async def test_code_that_comes_with_a_model_never_runs_unless_asked_for(tmp_path: Path) -> None:
    folder = save_language_model(tmp_path / "model")
    marker = tmp_path / "ran"
    (folder / "own.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Own: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own-kind",
        "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelSetupError, match="could not be loaded"):
        await ask(model_of(folder), "Why?")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("missing", "more"), [("torch", {}), ("transformers", {}), ("peft", {"adapter": "x"})]
)
def test_a_missing_package_says_what_to_run(
    missing: str, more: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *a: None if name == missing else find(name, *a)
    )
    with pytest.raises(MissingPackage, match=r"Run: pip install 'text_lloom\[transformers\]'") as caught:
        model_of(folder, **more)
    assert repr(missing) in str(caught.value)


async def test_replies_are_kept_until_the_weights_change(tmp_path: Path) -> None:
    folder = save_language_model(tmp_path / "model")
    journal = open_journal(tmp_path / "journal.sqlite3")
    tasks = plan_scoring([Document("a", "The bus is late.")], CONCEPTS[:1])

    async def outcomes(**more: Any) -> list[str]:
        run = Run(store=journal)
        await run_async(ask_all(model_of(folder, max_tokens=120, **more), tasks, run=run))
        return [attempt.outcome for attempt in run.ledger.attempts]

    assert await outcomes() == ["answer"]
    assert await outcomes() == ["cached"]
    assert await outcomes(temperature=0.5, seed=1) == ["answer"]
    save_language_model(folder, seed=1)
    assert await outcomes() == ["answer"]
    journal.close()  # type: ignore[union-attr]


async def test_documents_are_cut_to_the_context_window(plain_folder: Path) -> None:
    model = model_of(plain_folder, context_window=None, max_tokens=40)
    run = Run(policy=RetryPolicy(attempts=1))
    long = SummarizeDocument("a", "the bus is late and nobody tells us why " * 100)
    short = "{ex} {n_bullets} {seeding_phrase} {n_words}"
    from dataclasses import replace

    task = replace(long, custom=long.template.customised(short, step="distill_summarize"))
    [answer] = await run_async(ask_all(model, [task], run=run))
    assert not isinstance(answer, Failure)
    assert run.cut == {"distill_summarize": ["a"]}
    assert model.context_window == 256


# --- the whole run -------------------------------------------------------------------------------------


@pytest.mark.corpora
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*could not be answered")  # as when all concepts are to be taken out
async def test_the_whole_run_on_a_random_model_gives_complete_tables(tmp_path: Path, corpora: Path) -> None:
    frame = pd.read_csv(corpora / "lloom4" / "toxicity_feminism_200.csv").head(20)
    roomy = save_language_model(tmp_path / "model", frame["comment"].tolist(), positions=32768)
    model = model_of(roomy, max_tokens=160, batch_size=16, temperature=1.0, seed=0)
    session = wb.lloom(
        frame,
        text_col="comment",
        id_col="doc_id",
        distill_model=model,
        cluster_model="local",
        synth_model=model,
        score_model=model,
        cache=tmp_path / "journal.sqlite3",
    )
    for seed in range(24):
        # With most seeds random weights draw no concept, or take all out again, even at a high temperature.
        # They never copy passages of a document, so the step that asks for some is left out.
        draw = {"seed": seed, "temperature": 3.0, "max_tokens": 600}
        with contextlib.suppress(StepFailed):
            await session.gen(
                params={"synthesize": draw}, custom_prompts={"distill_filter": None}, debug=False
            )
        if session.concepts:
            break
    assert len(session.concepts) >= 1
    concepts = list(session.concepts)[:3]
    table = await session.score(c_ids=concepts, get_highlights=False)
    assert table is not None
    assert len(table) == len(frame) * len(concepts)
    assert table["score"].notna().all()
    assert set(table["score"]) <= {0.0, 0.25, 0.5, 0.75, 1.0}
    exported = session.export_df()
    assert len(exported) >= len(concepts)
    totals = session.ledger.totals()
    assert totals.usd == 0.0
    assert totals.unpriced == 0
    assert totals.in_tokens > 0


# --- by itself -----------------------------------------------------------------------------------------


def test_a_model_by_itself(folder: Path) -> None:
    model = model_of(folder, max_tokens=120, temperature=1.0, seed=4)
    claim = model.sync.call("What is claimed?", Claim)
    assert isinstance(claim.parsed, Claim)
    assert (claim.usd, claim.finish_reason, claim.cached) == (0.0, "stop", False)
    assert model.sync.call("What is claimed?", Claim).cached
    stance = model.sync.call("For or against?", Stance).parsed
    assert stance in list(Stance)
    number = model.sync.call("How many?", regex="[0-9]{2}")
    assert str(number.parsed).isdigit()
    pieces: list[str] = []
    told = model.sync.call([Message(role="user", content="Why?")], on_chunk=pieces.append, max_tokens=12)
    assert "".join(pieces) == told.text
    assert told.out_tokens == 12
    several = model.sync.call("Why?", n=3, max_tokens=6)
    assert len({reply.text for reply in several}) == 3
    assert sum(reply.out_tokens or 0 for reply in several) == 18
    many = model.sync.call_many([f"Ticket {n}" for n in range(12)], max_tokens=4)
    assert all(isinstance(reply, Completion) and reply.out_tokens == 4 for reply in many)
    with pytest.raises(UnknownName, match="Did you mean 'temperature'"):
        model.sync.call("Why?", temprature=1)


async def test_questions_of_ones_own(folder: Path) -> None:
    frame = pd.DataFrame({"text": [f"{prompt} ({n})" for n, prompt in enumerate(PROMPTS)]})
    model = model_of(folder, max_tokens=120, temperature=1.0, seed=4)
    session = wb.lloom(frame, "text", None, "local", "local", "local", model)
    found = await session.map("What is claimed?", Claim)
    assert found is not None
    assert set(found["stance"]) <= {"for", "against"}
    assert found["certainty"].notna().all()
    assert session.failures().empty
