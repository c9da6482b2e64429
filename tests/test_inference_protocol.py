"""Classifiers behind the Open Inference Protocol v2: its replies, its errors, a real MLServer."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import text_lloom.workbench as wb
from tests.inference_server import InferenceServer, Reply, inference_server, output, outputs
from tests.ports import closed_port, free_port
from tests.test_view_messages import ask
from text_lloom.concept import Concept
from text_lloom.corpus import Document
from text_lloom.errors import (
    AuthenticationFailed,
    InputError,
    ModelNotFound,
    PermanentError,
    StepFailed,
    TransientError,
)
from text_lloom.llm import Failure, Fallbacks, InferenceProtocolModel, LocalModel, RetryPolicy
from text_lloom.llm.ask import ask_all
from text_lloom.llm.cache import open_journal
from text_lloom.llm.classifiers.outputs import LabelledSpan, read_outputs, read_spans
from text_lloom.llm.control.paid_call_guard import allow_paid_calls
from text_lloom.llm.dispatch.step_state import Run
from text_lloom.llm.runtime.event_loop import run_async
from text_lloom.operators.score import plan_scoring
from text_lloom.scores import Judgement
from text_lloom.tasks import Scored, SummarizeConcept
from text_lloom.testing import FunctionModel, TaskModel

BUS = Concept("Late buses", "Does the text say that a bus was late?")
LANE = Concept("Bike lanes", "Is the text about lanes for bicycles?")
FARE = Concept("Fares", "Does the text say that tickets cost too much?")
CLASSES = ["bus", "lane", "fare"]
WORDS = {"bus": 0, "lane": 1, "fare": 2}
TEXTS = ["The bus was late again", "Cars park in the bike lane", "The fare went up"]


def quick(**more: Any) -> Run:
    return Run(policy=RetryPolicy(attempts=3, base=0.001), **more)


def class_of(text: str) -> int:
    return next((n for word, n in WORDS.items() if word in text), 0)


def matrix(texts: Sequence[str]) -> list[list[float]]:
    """The probability of the right class is .9, of the others .07 and .03."""
    return [[0.9 if n == class_of(text) else (0.07, 0.03)[n % 2] for n in range(3)] for text in texts]


def flat(texts: Sequence[str]) -> list[float]:
    return [value for row in matrix(texts) for value in row]


REPLIES: dict[str, Callable[[list[str]], Reply]] = {
    "nested matrix": lambda texts: outputs(output("p", [len(texts), 3], "FP32", matrix(texts))),
    "flat matrix, as MLServer": lambda texts: outputs(
        output("predict_proba", [len(texts), 3], "FP64", flat(texts))
    ),
    "matrix beside another output": lambda texts: outputs(
        output("predict", [len(texts)], "INT64", [class_of(text) for text in texts]),
        output("predict_proba", [len(texts), 3], "FP64", flat(texts)),
    ),
    "class indices, as MLServer": lambda texts: outputs(
        output("predict", [len(texts), 1], "INT64", [class_of(text) for text in texts])
    ),
    "class indices in a column, as KServe": lambda texts: outputs(
        output("output-0", [len(texts)], "INT64", [class_of(text) for text in texts])
    ),
    "python strings, as KServe": lambda texts: outputs(
        output("output-0", [len(texts)], "BYTES", [str(dict(enumerate(row))) for row in matrix(texts)])
    ),
    "json strings": lambda texts: outputs(
        output(
            "output-0",
            [len(texts), 1],
            "BYTES",
            [[json.dumps(dict(zip(CLASSES, row, strict=True)))] for row in matrix(texts)],
        )
    ),
    "label strings": lambda texts: outputs(
        output("label", [len(texts)], "BYTES", [CLASSES[class_of(text)] for text in texts])
    ),
    "label and score, as MLServer for Hugging Face": lambda texts: outputs(
        output(
            "output",
            [len(texts), 1],
            "BYTES",
            [json.dumps({"label": CLASSES[class_of(text)], "score": 0.9}) for text in texts],
        )
    ),
    "all labels and scores": lambda texts: outputs(
        output(
            "output",
            [len(texts), 1],
            "BYTES",
            [
                json.dumps([{"label": c, "score": p} for c, p in zip(CLASSES, row, strict=True)])
                for row in matrix(texts)
            ],
        )
    ),
    "zeros and ones for each class": lambda texts: outputs(
        output("multi", [len(texts), 3], "UINT8", [[int(p > 0.5) for p in row] for row in matrix(texts)])
    ),
    "truth values for each class": lambda texts: outputs(
        output("multi", [len(texts), 3], "BOOL", [[p > 0.5 for p in row] for row in matrix(texts)])
    ),
}


@pytest.fixture
def server() -> Iterator[InferenceServer]:
    with inference_server(REPLIES["nested matrix"]) as running:
        yield running


def model_of(server: InferenceServer, labels: Any = None, **more: Any) -> InferenceProtocolModel:
    by_name = {"Late buses": "bus", "Bike lanes": "lane", "Fares": "fare"}
    more.setdefault("classes", CLASSES)
    return InferenceProtocolModel(server.url, "topics", by_name if labels is None else labels, **more)


async def scores_of(
    model: Any,
    texts: Sequence[str] = TEXTS,
    concepts: Sequence[Concept] = (BUS, LANE, FARE),
    *,
    run: Run | None = None,
    batch_size: int = 1,
) -> list[list[float]]:
    """Scores, a row per text and a column per concept; `nan` for what failed."""
    documents = [Document(n, text) for n, text in enumerate(texts)]
    tasks = plan_scoring(documents, concepts, batch_size=batch_size)
    answers = await run_async(ask_all(model, tasks, run=run or quick()))
    table = np.full((len(texts), len(concepts)), math.nan)
    column = {concept.id: n for n, concept in enumerate(concepts)}
    for answer in answers:
        for scored in [] if isinstance(answer, Failure) else answer:
            assert isinstance(scored, Scored)
            table[scored.doc_id, column[scored.concept_id]] = scored.judgement.score  # type: ignore[index]
    rows: list[list[float]] = table.tolist()
    return rows


RIGHT = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("form", REPLIES)
async def test_every_form_of_reply_gives_the_same_scores(server: InferenceServer, form: str) -> None:
    server.answer = REPLIES[form]
    assert await scores_of(model_of(server)) == RIGHT
    by_index = {"Late buses": 0, "Bike lanes": 1, "Fares": 2}
    assert await scores_of(model_of(server, by_index)) == RIGHT
    assert await scores_of(model_of(server, {BUS.id: 0, LANE.id: 1, FARE.id: 2})) == RIGHT
    assert await scores_of(model_of(server, ["Late buses", "Bike lanes", "Fares"])) == RIGHT


@pytest.mark.parametrize(
    ("shape", "datatype", "data", "expected"),
    [
        ([3], "FP32", [0.95, 0.5, 0.1], [1, 0.5, 0]),
        ([3, 1], "FP64", [[0.95], [0.5], [0.1]], [1, 0.5, 0]),
        ([3], "INT64", [1, 0, 1], [1, 0, 1]),
        ([3], "BOOL", [True, False, True], [1, 0, 1]),
        ([3, 2], "FP32", [[0.05, 0.95], [0.5, 0.5], [0.9, 0.1]], [1, 0.5, 0]),
    ],
    ids=["flat", "column", "classes", "truth values", "both classes"],
)
async def test_binary_classifiers(
    server: InferenceServer, shape: list[int], datatype: str, data: object, expected: list[float]
) -> None:
    server.answer = lambda texts: outputs(output("p", shape, datatype, data))
    model = model_of(server, {"Late buses": 1}, classes=[])
    assert await scores_of(model, concepts=[BUS]) == [[value] for value in expected]
    opposite = model_of(server, {"Late buses": 0}, classes=[])
    assert await scores_of(opposite, concepts=[BUS]) == [[1 - value] for value in expected]


async def test_probabilities_become_scores_by_steps_that_can_be_set(server: InferenceServer) -> None:
    values = [1.0, 0.8, 0.79, 0.6, 0.4, 0.2, 0.19, 0.0]
    server.answer = lambda texts: outputs(output("p", [8], "FP64", values))
    texts = [f"Ticket {n}" for n in range(8)]
    found = await scores_of(model_of(server, {"Late buses": 1}, classes=[]), texts, [BUS])
    assert [score for (score,) in found] == [1, 1, 0.75, 0.75, 0.5, 0.25, 0, 0]
    strict = model_of(server, {"Late buses": 1}, classes=[], steps=(0.5, 0.5, 0.5, 0.5))
    found = await scores_of(strict, texts, [BUS])
    assert [score for (score,) in found] == [1, 1, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(("activation", "expected"), [("softmax", [1, 0, 0]), ("sigmoid", [1, 0.5, 0])])
async def test_raw_scores_become_probabilities_when_told(
    server: InferenceServer, activation: Any, expected: list[float]
) -> None:
    server.answer = lambda texts: outputs(output("logits", [1, 3], "FP32", [[6.0, 0.0, -6.0]]))
    with pytest.raises(
        StepFailed, match=r"holds -6, which is not a probability\. If these are raw scores, say acti"
    ):
        await scores_of(model_of(server), [f"{TEXTS[0]} {n}" for n in range(3)], run=Run(), batch_size=1)
    assert await scores_of(model_of(server, activation=activation), TEXTS[:1]) == [expected]


async def test_texts_go_in_batches_once_each_and_are_kept(server: InferenceServer, tmp_path: Path) -> None:
    texts = [f"{TEXTS[n % 3]}, {n // 2}" for n in range(50)] + ["", "  "]
    journal = open_journal(tmp_path / "journal.sqlite3")
    run = quick(vectors=journal)
    model = model_of(
        server, batch_size=8, api_key="sk-very-secret-key", headers={"Host-Name": "topics.example"}
    )
    found = await scores_of(model, texts, run=run, batch_size=2)
    assert found[:50] == [RIGHT[n % 3] for n in range(50)]
    assert found[50:] == [[0, 0, 0]] * 2, "a blank text shows nothing"
    sent = [text for batch in server.asked for text in batch]
    assert sorted(sent) == sorted(set(texts[:50]))
    assert max(map(len, server.asked)) == 8
    assert len(server.asked) == math.ceil(len(set(texts[:50])) / 8)
    assert server.headers[0]["Authorization"] == "Bearer sk-very-secret-key"
    assert server.headers[0]["Host-Name"] == "topics.example"
    tensor = server.bodies[0]["inputs"][0]
    assert (tensor["name"], tensor["shape"], tensor["datatype"]) == ("text", [8], "BYTES")
    totals = run.ledger.totals(step="score")
    assert (totals.requests, totals.usd, totals.unpriced) == (len(server.asked), 0.0, 0)
    server.asked.clear()
    again = model_of(server, batch_size=8, steps=(0.95, 0.6, 0.4, 0.2))
    assert (await scores_of(again, texts[:2], run=quick(vectors=journal)))[0] == [0.75, 0, 0]
    assert server.asked == [], "probabilities are kept; steps are applied to them"
    for shown in (repr(model), str(vars(model)), repr(model.probabilities)):
        assert "sk-very-secret-key" not in shown
    journal.close()  # type: ignore[union-attr]


async def test_texts_may_be_sent_in_a_column_to_a_named_version(server: InferenceServer) -> None:
    model = model_of(
        server, column=True, content_type=None, output="p", input_name="input-0", parameters={"top_k": 3}
    )
    assert await scores_of(model) == RIGHT
    [body, *_] = server.bodies
    tensor = body["inputs"][0]
    assert (tensor["name"], tensor["shape"]) == ("input-0", [3, 1])
    assert "parameters" not in tensor
    assert body["outputs"] == [{"name": "p"}]
    assert body["parameters"] == {"top_k": 3}
    with pytest.raises(ModelNotFound, match="knows no model 'topics'"):
        await scores_of(model_of(server, version="7/../x"))


# --- what goes wrong -----------------------------------------------------------------------------------

WRONG: list[tuple[str, Callable[[list[str]], Reply], str]] = [
    (
        "shape and values",
        lambda texts: outputs(output("p", [len(texts), 3], "FP32", [0.5])),
        r"has the shape \[1, 3\], which is 3 values, but 1 were sent",
    ),
    (
        "another number of rows",
        lambda texts: outputs(output("p", [7, 3], "FP32", [0.1] * 21)),
        r"shape \[7, 3\], but 1 texts were sent",
    ),
    (
        "several outputs",
        lambda texts: outputs(output("a", [1], "INT64", [1]), output("b", [1], "INT64", [1])),
        "several outputs: 'a', 'b'. Say which",
    ),
    ("no outputs", lambda texts: Reply(200, b'{"model_name":"topics"}'), "sent no outputs of the Open"),
    ("an error with status 200", lambda texts: Reply(200, b'{"error":"out of memory"}'), "out of memory"),
    (
        "ids of the best three",
        lambda texts: outputs(output("top", [1, 3], "INT64", [[4, 0, 2]])),
        "3 integers for each text that are not all 0 or 1",
    ),
    (
        "three strings",
        lambda texts: outputs(output("top", [1, 3], "BYTES", [["bus", "lane", "x"]])),
        "3 strings for each text",
    ),
    ("an unknown class", lambda texts: outputs(output("l", [1], "BYTES", ["tram"])), "gave the class 'tram'"),
    (
        "a class index beyond the classes",
        lambda texts: outputs(output("p", [1, 2], "FP32", [[0.5, 0.5]])),
        "classes= names 3 classes, but the model gave 2 values",
    ),
    (
        "an index beyond the classes",
        lambda texts: outputs(output("l", [1], "INT64", [7])),
        "has the class 7, but classes= names 3, 0 to 2",
    ),
    (
        "no numbers",
        lambda texts: outputs(output("p", [1, 3], "FP32", [["a", "b", "c"]])),
        "datatype FP32, but holds 'a'",
    ),
    (
        "not finite",
        lambda texts: Reply(
            200, b'{"outputs":[{"name":"p","shape":[1,3],"datatype":"FP32","data":[NaN,0,0]}]}'
        ),
        "not finite",
    ),
    ("a datatype of its own", lambda texts: outputs(output("p", [1], "WORDS", ["x"])), "datatype 'WORDS'"),
    (
        "a call in a string",
        lambda texts: outputs(output("p", [1], "BYTES", ["{0: __import__('os').getpid()}"])),
        "which is neither JSON nor a literal",
    ),
    (
        "json error",
        lambda texts: Reply(400, b'{"error":"inputs are required"}'),
        r"\(400\).*inputs are required",
    ),
    (
        "json detail",
        lambda texts: Reply(
            422, json.dumps({"detail": [{"loc": ["body", "inputs"], "msg": "Input should be"}]}).encode()
        ),
        r"\(422\).*body.inputs: Input should be",
    ),
    ("json detail text", lambda texts: Reply(422, b'{"detail":"no such input"}'), r"\(422\).*no such input"),
    (
        "plain text",
        lambda texts: Reply(500, b"Internal Server Error", "text/plain"),
        r"\(500\).*Internal Server",
    ),
    (
        "not loaded, as Triton",
        lambda texts: Reply(400, b'{"error":"Request for unknown model: x"}'),
        "has not loaded it",
    ),
    ("an empty 200", lambda texts: Reply(200, b""), "sent no JSON"),
    (
        "a web page",
        lambda texts: Reply(200, b"<html>Sign in</html>", "text/html"),
        r"sent no JSON but '<html>Sign in</html>'. Is http.* the address of an inference server",
    ),
    (
        "another kind of server",
        lambda texts: Reply(404, b"404 page not found", "text/plain"),
        r"If the name is right, the address http.* may not be",
    ),
    ("no rights", lambda texts: Reply(403, b"RBAC: access denied", "text/plain"), "refused"),
]


@pytest.mark.parametrize(("answer", "message"), [part[1:] for part in WRONG], ids=[part[0] for part in WRONG])
async def test_replies_that_cannot_be_used_say_why(
    server: InferenceServer, answer: Callable[[list[str]], Reply], message: str
) -> None:
    server.answer = answer
    run = quick()
    try:
        found = await scores_of(model_of(server), TEXTS[:1], run=run)
    except (ModelNotFound, AuthenticationFailed) as error:
        said = str(error)
    else:
        assert np.isnan(found).all(), "what was not answered is never a score"
        [failure] = run.failures
        said = failure.reason
        assert (failure.step, failure.doc_ids) == ("score", (0,))
        assert failure.concept_ids == (BUS.id, LANE.id, FARE.id)
        assert failure.attempts == sum(a.outcome != "answer" for a in run.ledger.attempts) >= 1
    assert re.search(message, said), said


async def test_one_text_that_the_server_refuses_is_one_failure(server: InferenceServer) -> None:
    def answer(texts: list[str]) -> Reply:
        if any("poison" in text for text in texts):
            return Reply(400, b'{"error":"could not tokenize"}')
        return REPLIES["nested matrix"](texts)

    server.answer = answer
    texts = [f"{TEXTS[n % 3]}, {n}" for n in range(40)]
    texts[17] = "poison bus"
    run = quick()
    found = await scores_of(model_of(server, batch_size=64), texts, run=run)
    assert [n for n, row in enumerate(found) if np.isnan(row).any()] == [17]
    assert [failure.doc_ids for failure in run.failures] == [(17,)]
    assert "could not tokenize" in run.failures[0].reason
    assert len(server.asked) < 20


async def test_errors_that_pass_are_tried_again(server: InferenceServer) -> None:
    replies = [
        Reply(503, b'{"error":"no healthy upstream"}'),
        Reply(429, b"slow down", "text/plain"),
        Reply(200, b""),
    ]
    server.answer = lambda texts: replies.pop(0) if replies else REPLIES["nested matrix"](texts)
    run = quick()
    assert await scores_of(model_of(server), run=run) == RIGHT
    assert [a.outcome for a in run.ledger.attempts] == [
        "transient error",
        "rate limited",
        "transient error",
        "answer",
    ]


async def test_a_server_that_always_fails_ends_the_step_soon(server: InferenceServer) -> None:
    server.answer = lambda texts: Reply(500, b"Internal Server Error", "text/plain")
    texts = [f"Ticket {n}" for n in range(400)]
    with pytest.raises(
        StepFailed, match="the first 3 requests to model 'topics' all failed, so the rest was"
    ):
        await scores_of(
            model_of(server, batch_size=4, concurrency=2), texts, run=Run(policy=RetryPolicy(attempts=1))
        )
    assert len(server.asked) < 12


async def test_nobody_there() -> None:
    run = quick()
    with closed_port() as port:
        model = InferenceProtocolModel(f"http://127.0.0.1:{port}", "topics", ["Late buses"])
        with pytest.raises(TransientError, match="could not be reached"):
            await model.ready()
        await scores_of(model, TEXTS[:1], [BUS], run=run)
    assert "could not be reached" in run.failures[0].reason


async def test_a_class_that_is_written_otherwise_is_noticed(server: InferenceServer) -> None:
    server.answer = lambda texts: outputs(output("l", [len(texts)], "BYTES", ["BUS"] * len(texts)))
    run = quick()
    await scores_of(model_of(server, classes=[]), TEXTS[:1], run=run)
    assert "gave the class 'BUS', while labels= says 'bus'" in run.failures[0].reason
    server.answer = lambda texts: outputs(output("l", [len(texts)], "BYTES", ["tram"] * len(texts)))
    with pytest.warns(UserWarning, match="gave none of the classes in labels= to any of 30 texts: 'bus'"):
        await scores_of(model_of(server, classes=[]), [f"Ticket {n}" for n in range(30)])


async def test_several_models_in_turn(server: InferenceServer) -> None:
    def answer(texts: list[str]) -> Reply:
        if any("lane" in text for text in texts):
            return Reply(400, b'{"error":"could not tokenize"}')
        return REPLIES["nested matrix"](texts)

    server.answer = answer
    both = Fallbacks((model_of(server), LocalModel(TEXTS)))
    run = quick()
    found = await scores_of(both, run=run)
    assert not np.isnan(found).any()
    assert [found[0], found[2]] == [RIGHT[0], RIGHT[2]]
    assert run.failures == []
    summary = await run_async(ask_all(both, [SummarizeConcept(BUS, ("The bus was late",))], run=quick()))
    assert isinstance(summary[0], str), "the classifier is passed over"


async def test_concepts_without_a_class_go_to_the_next_model(server: InferenceServer) -> None:
    judged: list[str] = []

    def judge(task: Any) -> list[Scored]:
        judged.extend(concept.name for concept in task.concepts)
        return [Scored(d.id, c.id, Judgement(0.25)) for d in task.documents for c in task.concepts]

    models = Fallbacks((model_of(server, {"Late buses": "bus"}), TaskModel({"score": judge})))
    documents = [Document(n, text) for n, text in enumerate(TEXTS)]
    tasks = plan_scoring(documents, [BUS, LANE], concepts_per_call=1)
    answers = await run_async(ask_all(models, tasks, run=quick()))
    scores = {(s.doc_id, s.concept_id): s.judgement.score for answer in answers for s in answer}  # type: ignore[union-attr]
    assert [scores[n, BUS.id] for n in range(3)] == [1, 0, 0]
    assert [scores[n, LANE.id] for n in range(3)] == [0.25] * 3
    assert set(judged) == {"Bike lanes"}


# --- readiness -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "reply", "error", "message"),
    [
        ("/v2/health/ready", Reply(503, b""), TransientError, "503"),
        (
            "/v2/health/ready",
            Reply(200, b'{"ready": false}'),
            TransientError,
            "server of model 'topics'.*not ready",
        ),
        (
            "/v2/models/topics/ready",
            Reply(404, b'{"error":"Model topics not found"}'),
            ModelNotFound,
            "topics",
        ),
        (
            "/v2/models/topics/ready",
            Reply(200, b'{"name":"topics","ready":false}'),
            TransientError,
            "not ready",
        ),
    ],
    ids=["server by status", "server by body", "model unknown", "model by body"],
)
async def test_readiness(
    server: InferenceServer, path: str, reply: Reply, error: type[Exception], message: str
) -> None:
    model = model_of(server)
    await model.ready()
    server.ready["/v2/health/ready"] = Reply(200, b'{"ready":true}')
    await model.ready()
    server.ready[path] = reply
    with pytest.raises(error, match=message):
        await model.ready()


async def test_waiting_for_readiness(server: InferenceServer) -> None:
    asked: list[str] = []

    class Loading(dict[str, Reply]):
        def get(self, path: str, default: Any = None) -> Any:  # type: ignore[override]
            asked.append(path)
            return Reply(503, b"") if len(asked) < 4 else default

    server.ready = Loading()
    await model_of(server).ready(wait=30)
    assert asked[-2:] == ["/v2/health/ready", "/v2/models/topics/ready"]
    assert len(asked) == 5


# --- what is refused before anything is sent -----------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {}}, "labels= is empty"),
        ({"labels": "bus"}, "expected a mapping such as"),
        ({"labels": {"Late buses": True}}, "the index or the name of a class"),
        ({"labels": ["a", "a"]}, "distinct concept names"),
        ({"steps": (0.2, 0.4, 0.6, 0.8)}, "must be 4 falling probabilities"),
        ({"steps": (0.5,)}, "must be 4 falling probabilities"),
        ({"activation": "tanh"}, "activation='tanh'"),
        ({"classes": "bus"}, "must be a list of names"),
        ({"url": "localhost:8080"}, "must be the address of an inference server"),
        ({"url": "http://me:secret-word@localhost"}, "must not hold a name or password"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_arguments_that_cannot_be_used(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "url": "http://127.0.0.1:9",
        "name": "topics",
        "labels": ["Late buses"],
    } | change
    with pytest.raises(InputError, match=message) as caught:
        InferenceProtocolModel(**arguments)
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize("ending", ["", "/", "/v2", "/v2/models/topics/infer"])
async def test_the_address_of_an_endpoint_is_understood(server: InferenceServer, ending: str) -> None:
    model = InferenceProtocolModel(f"{server.url}{ending}", "topics", ["Late buses"])
    await model.ready()
    assert repr(model).startswith(f"InferenceProtocolModel({server.url!r}")


async def test_a_concept_without_a_class_is_refused_before_anything_is_sent(server: InferenceServer) -> None:
    frame = pd.DataFrame({"text": TEXTS * 4})
    model = model_of(server, {"Late buses": "bus"})
    session = wb.lloom(frame, text_col="text", distill_model="local", synth_model="local", score_model=model)
    view = session.select()
    with pytest.raises(
        InputError, match=r"has no class for the concept 'Fares'.*it has classes for 'Late buses'"
    ):
        await session.add("Fares", "Does the text say that tickets cost too much?")
    assert server.asked == []
    assert "Fares" not in [concept.name for concept in session.concepts.values()]
    assert view.concepts == [], "nor does an open view show it"


async def test_summaries_that_cost_something_are_in_every_estimate() -> None:
    """The classifier is free, but the synth model sums the concepts up."""
    allow_paid_calls(True)  # a scripted model with a price; nothing is really paid
    synth = FunctionModel(lambda prompt: {"summary": "Buses are late."}, cost=(1e-4, 1e-4))
    session = wb.lloom(
        pd.DataFrame({"text": TEXTS * 4}),
        "text",
        distill_model="local",
        synth_model=synth,
        score_model=InferenceProtocolModel("http://127.0.0.1:9", "topics", {"Late buses": 0}),
    )
    concept = session.add_concept(BUS.name, BUS.criteria)
    estimate = session.estimate_score_cost()
    assert [(step.step, step.usd_high == 0) for step in estimate.steps] == [
        ("score", True),
        ("summarize_concept", False),
    ]
    view = session.select()
    shown = ask(view, "estimate", concept_ids=[concept.id])
    assert (shown["usd_high"], shown["free"]) == (pytest.approx(estimate.usd_high), False)
    reply = ask(view, "score", concept_ids=[concept.id], confirmed_usd=None)
    assert "was not confirmed. Nothing was started" in reply["error"]


@pytest.mark.parametrize("role", ["distill_model", "synth_model"])
def test_a_classifier_does_nothing_but_score(server: InferenceServer, role: str) -> None:
    with pytest.raises(InputError, match=f"{role}=.*it can be score_model only"):
        wb.lloom(pd.DataFrame({"text": TEXTS}), text_col="text", **{role: model_of(server)})


# --- the whole run -------------------------------------------------------------------------------------


@pytest.mark.corpora
async def test_the_whole_run_with_a_classifier_as_score_model(server: InferenceServer, corpora: Path) -> None:
    frame = pd.read_csv(corpora / "lloom4" / "toxicity_feminism_200.csv").head(60)

    def answer(texts: list[str]) -> Reply:
        return outputs(
            output("p", [len(texts), 2], "FP64", [[0.1, 0.9] if "wom" in t else [0.9, 0.1] for t in texts])
        )

    server.answer = answer
    labels: dict[str, Any] = {"placeholder": 1}
    model = model_of(server, labels, classes=[])
    session = wb.lloom(
        frame, text_col="comment", id_col="doc_id", distill_model="local", cluster_model="local",
        synth_model="local", score_model=model,
    )  # fmt: skip
    await session.gen(debug=False)
    names = [concept.name for concept in session.concepts.values()]
    model.labels.clear()
    model.labels.update(dict.fromkeys(names, 1))
    table = await session.score(score_all=True)
    assert table is not None
    assert len(table) == len(frame) * len(names)
    says = dict(zip(frame["doc_id"], frame["comment"], strict=True))
    expected = [1.0 if "wom" in says[i] else 0.0 for i in table["doc_id"]]
    assert table["score"].tolist() == expected
    assert table["rationale"].str.startswith("p = 0.9 for class 1").sum() == sum(expected)
    exported = session.export_df()
    assert sorted(exported["concept"]) == sorted(names)
    assert exported["summary"].str.len().gt(0).all(), "summaries come from the synth model"
    assert session.failures().empty
    sent = [text for batch in server.asked for text in batch]
    assert len(sent) == len(set(sent)) == len(frame), "each text once, however many concepts"


# --- token classification ------------------------------------------------------------------------------

NAMED = "Ms Mary Ann Jones met Bob in Leeds."
PEOPLE = [LabelledSpan("PER", 3, 17, "Mary Ann Jones", None), LabelledSpan("PER", 22, 25, "Bob", None)]


def tensor(datatype: str, shape: list[int], data: object) -> Any:
    return read_outputs({"outputs": [output("output-0", shape, datatype, data)]})[0]


def words_of(text: str) -> list[tuple[int, int]]:
    """Places of the tokens, with a special one before and after, as a tokenizer gives them."""
    return [(0, 0), *((m.start(), m.end()) for m in re.finditer(r"\w+|\.", text)), (0, 0)]


def test_spans_from_entities() -> None:
    pieces = [
        {"entity": "B-PER", "score": 0.9, "word": "Mary", "start": 3, "end": 7},
        {"entity": "I-PER", "score": 0.7, "word": "Ann", "start": 8, "end": 11},
        {"entity": "I-PER", "score": 0.8, "word": "Jones", "start": 12, "end": 17},
        {"entity": "B-PER", "score": 0.6, "word": "Bob", "start": 22, "end": 25},
    ]
    grouped = [
        {"entity_group": "PER", "score": 0.8, "word": "Mary Ann Jones", "start": 3, "end": 17},
        {"entity_group": "PER", "score": 0.6, "word": "Bob", "start": None, "end": None},
    ]
    for entities in (pieces, grouped):
        for written in (json.dumps(entities), str(entities)):
            found = read_spans(tensor("BYTES", [2, 1], [written, "[]"]), [NAMED, "Nobody."])
            assert [span._replace(score=None) for span in found[0]] == PEOPLE
            assert [span.score for span in found[0]] == pytest.approx([0.8, 0.6])
            assert found[1] == []


def test_spans_from_a_class_per_token() -> None:
    classes = ["O", "B-PER", "I-PER", "LOC"]
    #       [CLS] Ms Mary Ann Jones met Bob in Leeds . [SEP]
    rows = [[0, 0, 1, 2, 2, 0, 1, 0, 3, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]
    texts = [NAMED, "Nobody."]
    expected = [*PEOPLE, LabelledSpan("LOC", 29, 34, "Leeds", None)]
    numbers = tensor("INT64", [2, 11], rows)
    names = tensor("BYTES", [2, 11], [[classes[n] for n in row] for row in rows])
    listed = tensor("BYTES", [2], [str(row) for row in rows])
    for given in (numbers, names, listed):
        assert read_spans(given, texts, classes=classes, offsets=words_of) == [expected, []]
    assert read_spans(
        tensor("INT64", [1, 11], [[0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]]),
        [NAMED],
        classes=classes,
        offsets=words_of,
    ) == [
        [
            LabelledSpan("PER", 3, 7, "Mary", None),
            LabelledSpan("PER", 8, 11, "Ann", None),
            LabelledSpan("PER", 12, 17, "Jones", None),
        ]
    ], "each B- begins a span"


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (tensor("INT64", [1, 3], [[0, 1, 0]]), {}, "not where the tokens stand. Give offsets="),
        (
            tensor("INT64", [1, 3], [[0, 1, 0]]),
            {"offsets": words_of},
            "3 classes for a text of 10|of another tokenizer",
        ),
        (
            tensor("INT64", [1, 11], [[7] * 11]),
            {"offsets": words_of},
            "has the class 7, but classes= names 0",
        ),
        (
            tensor("BYTES", [1], ['[{"entity": "PER", "start": 30, "end": 99}]']),
            {},
            "does not stand in its text",
        ),
        (tensor("BYTES", [1], ['[{"start": 0, "end": 2}]']), {}, "has no label"),
    ],
    ids=["no offsets", "other tokenizer", "no names", "beyond the text", "no label"],
)
def test_spans_that_do_not_fit_are_refused(given: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PermanentError, match=message):
        read_spans(given, [NAMED], **options)


def tag(texts: list[str]) -> Reply:
    entities = [
        [
            {"entity_group": "WAY", "score": 0.9, "start": m.start(), "end": m.end()}
            for m in re.finditer("bus|lane", t)
        ]
        for t in texts
    ]
    return outputs(output("output", [len(texts), 1], "BYTES", [json.dumps(e) for e in entities]))


async def test_spans_come_back_through_map(server: InferenceServer) -> None:
    server.answer = tag
    frame = pd.DataFrame({"text": [*TEXTS, TEXTS[0]], "place": list("abcd")})
    model = InferenceProtocolModel(server.url, "topics", batch_size=2)
    assert await model.spans(TEXTS) == [
        [LabelledSpan("WAY", 4, 7, "bus", 0.9)],
        [LabelledSpan("WAY", 22, 26, "lane", 0.9)],
        [],
    ]
    server.asked.clear()
    session = wb.lloom(
        frame, text_col="text", distill_model="local", synth_model="local", score_model="local"
    )
    found = await session.map("Which ways of travelling are named?", model=model)
    assert found is not None
    bus = {"label": "WAY", "start": 4, "end": 7, "text": "bus", "score": 0.9}
    lane = {"label": "WAY", "start": 22, "end": 26, "text": "lane", "score": 0.9}
    assert found["answer"].tolist() == [[bus], [lane], [], [bus]]
    assert found["place"].tolist() == list("abcd")
    assert sorted(server.asked, key=len) == [TEXTS[2:], TEXTS[:2]], "equal texts are sent once"
    assert session.ledger.totals(step="map").requests == 2


async def test_a_document_that_cannot_be_tagged_is_a_failure(server: InferenceServer) -> None:
    def answer(texts: list[str]) -> Reply:
        return Reply(400, b'{"error":"too long"}') if any("lane" in text for text in texts) else tag(texts)

    server.answer = answer
    session = wb.lloom(
        pd.DataFrame({"text": TEXTS}), text_col="text", score_model="local", synth_model="local"
    )
    with pytest.warns(UserWarning, match="1 requests could not be answered.*too long"):
        found = await session.map("Which ways?", model=InferenceProtocolModel(server.url, "topics"))
    assert found is not None
    assert found["answer"].isna().tolist() == [False, True, False]
    assert len(session.failures()) == 1


async def test_classifiers_of_texts_and_of_tokens_say_what_they_cannot_do(server: InferenceServer) -> None:
    session = wb.lloom(
        pd.DataFrame({"text": TEXTS}), text_col="text", score_model="local", synth_model="local"
    )
    with pytest.raises(InputError, match="'topics' cannot answer questions of your own"):
        await session.map("Which ways?", model=model_of(server))
    tagger = InferenceProtocolModel(server.url, "topics")
    session = wb.lloom(
        pd.DataFrame({"text": TEXTS}), text_col="text", synth_model="local", score_model=tagger
    )
    with pytest.raises(InputError, match="'topics' cannot score: say which of its classes stands for which"):
        await session.add("Fares", "Does the text say that tickets cost too much?")
    assert server.asked == []


# --- a real MLServer -----------------------------------------------------------------------------------

_TRAIN = """
import sys, joblib
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

texts = [f"{word} {n}" for word in ("bus", "lane", "fare") for n in range(8)]
pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression(C=100))
joblib.dump(pipeline.fit(texts, [0] * 8 + [1] * 8 + [2] * 8), sys.argv[1])
"""


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLServer that serves a scikit-learn pipeline, from an environment of its own."""
    python = os.environ.get("LLOOM_MLSERVER_PYTHON")
    if not python:
        pytest.skip("LLOOM_MLSERVER_PYTHON names no Python with mlserver and mlserver-sklearn")
    folder = tmp_path_factory.mktemp("mlserver")
    (folder / "topics").mkdir()
    weights = folder / "topics" / "model.joblib"
    subprocess.run([python, "-c", _TRAIN, str(weights)], check=True, timeout=120)
    ports: set[int] = set()
    while len(ports) < 3:
        ports.add(free_port())
    http, grpc, metrics = ports
    settings = {
        "host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics,
        "parallel_workers": 0, "debug": False,
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    about = {
        "name": "topics",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib", "version": "v1"},
    }
    (folder / "topics" / "model-settings.json").write_text(json.dumps(about))
    with (folder / "log").open("wb") as log:
        served = subprocess.Popen(
            [python, "-m", "mlserver.cli.main", "start", str(folder)], stdout=log, stderr=log
        )
        try:
            yield f"http://127.0.0.1:{http}"
        finally:
            served.terminate()
            try:
                served.wait(20)
            except subprocess.TimeoutExpired:
                served.kill()
                served.wait(20)


@pytest.mark.slow
async def test_a_real_mlserver(mlserver: str) -> None:
    labels = ["Late buses", "Bike lanes", "Fares"]
    model = InferenceProtocolModel(mlserver, "topics", labels, output="predict_proba", batch_size=16)
    await model.ready(wait=90)
    texts = [f"{TEXTS[n % 3]}, {n}" for n in range(200)] + ["bus \ud83d 🚌"]
    run = quick()
    found = await scores_of(model, texts, run=run)
    assert found == [RIGHT[n % 3] for n in range(200)] + [RIGHT[0]]
    assert run.ledger.totals(step="score").requests == math.ceil(201 / 16)
    classes = InferenceProtocolModel(mlserver, "topics", labels, output="predict", column=True, version="v1")
    assert await scores_of(classes) == RIGHT
    with pytest.raises(ModelNotFound, match="Model nope not found"):
        await InferenceProtocolModel(mlserver, "nope", labels).ready()
    with pytest.raises(ModelNotFound, match="Model nope not found"):
        await scores_of(InferenceProtocolModel(mlserver, "nope", labels))
    run = quick()
    await scores_of(
        InferenceProtocolModel(mlserver, "topics", labels, column=True, content_type=None), TEXTS[:1], run=run
    )
    assert "500" in run.failures[0].reason, "a plain-text error of the real server"
