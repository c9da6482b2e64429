"""Generating, selecting and evaluating the concepts of a session.

A `plan_…` function runs on the caller's thread, where it may ask the user; the coroutine that it returns
runs on the event-loop thread.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from text_lloom.errors import InputError
from text_lloom.llm.options import whole_number
from text_lloom.operators.asking import (
    GEN_STEPS,
    STEPS,
    PromptSpec,
    bound_settings,
    split_params,
    step_settings,
)
from text_lloom.operators.estimate import Estimate, estimate_gen
from text_lloom.operators.evaluate import Coverage, known_concepts, match_concepts
from text_lloom.operators.generate import Generation, generate
from text_lloom.operators.parameters import GenParameters, suggest_parameters
from text_lloom.operators.review import select_concepts
from text_lloom.operators.score import plan_scoring
from text_lloom.session.score import estimate_scoring, score_selected, stand_ins
from text_lloom.session.spend import declined
from text_lloom.session.state import Session
from text_lloom.tasks import Candidate

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "estimate_gen_cost",
    "parameters_for",
    "plan_auto_eval",
    "plan_gen",
    "plan_gen_auto",
    "plan_select_auto",
    "suggest",
]


def plan_gen(
    session: Session,
    seed: str | None = None,
    params: Mapping[str, object] | None = None,
    n_synth: int = 1,
    custom_prompts: Mapping[str, PromptSpec] | None = None,
    auto_review: bool = True,
    debug: bool = True,
    *,
    confirm: bool | None = None,
) -> Coroutine[Any, Any, None]:
    """The work of `lloom.gen`, once its arguments are checked and the user agrees."""
    generation = _generation(session, seed, params, n_synth, custom_prompts, auto_review)
    estimate = _estimate(session, generation.parameters, auto_review=auto_review)
    if not session._may_spend(estimate, "generation", confirm):
        return declined()
    return _generate(session, generation, debug=debug)


def plan_gen_auto(
    session: Session,
    max_concepts: int = 8,
    seed: str | None = None,
    params: Mapping[str, object] | None = None,
    n_synth: int = 1,
    custom_prompts: Mapping[str, PromptSpec] | None = None,
    debug: bool = True,
    *,
    confirm: bool | None = None,
) -> Coroutine[Any, Any, pd.DataFrame | None]:
    """The work of `lloom.gen_auto`, once its arguments are checked and the user agrees."""
    max_concepts = whole_number(max_concepts, what="max_concepts")
    generation = _generation(session, seed, params, n_synth, custom_prompts, True, tuple(STEPS))
    estimate = _estimate(session, generation.parameters) + estimate_scoring(
        session,
        plan_scoring(list(session.corpus), stand_ins(max_concepts)),
        n_summaries=max_concepts,
    )
    if not session._may_spend(estimate, "generation and scoring", confirm):
        return declined()

    async def work() -> pd.DataFrame:
        await _generate(session, generation, debug=debug)
        await _select_auto(session, max_concepts)
        if debug:
            session.show_selected()
        return await score_selected(session)

    return work()


def plan_select_auto(session: Session, max_concepts: int) -> Coroutine[Any, Any, None]:
    """The work of `lloom.select_auto`, once its arguments are checked."""
    max_concepts = whole_number(max_concepts, what="max_concepts")
    session._need_concepts()
    return _select_auto(session, max_concepts)


def plan_auto_eval(session: Session, items: Mapping[str, Mapping[str, str]]) -> Coroutine[Any, Any, Coverage]:
    """The work of `lloom.auto_eval`, once its arguments are checked."""
    known, found = known_concepts(items), list(session.concepts.values())
    return match_concepts(known, found, session.models.synth, run=session._run)


def estimate_gen_cost(
    session: Session, params: Mapping[str, object] | None = None, *, verbose: bool = False
) -> Estimate:
    """Print and return the estimate of `lloom.gen`; arguments as for `lloom.estimate_gen_cost`."""
    counts, _ = split_params(params, GEN_STEPS)
    estimate = _estimate(session, parameters_for(session, counts))
    print(estimate.describe(verbose=verbose))
    return estimate


def suggest(
    session: Session, sample_size: int | None = None, target_n_concepts: int = 20, *, debug: bool = False
) -> dict[str, int]:
    """Suggest parameters; arguments as for `lloom.auto_suggest_parameters`."""
    suggested = suggest_parameters(
        session.corpus.texts,
        sample_size=sample_size,
        target_n_concepts=target_n_concepts,
        random_state=session.random_state,
    ).to_dict()
    if debug:
        print(f"Suggested parameters: {suggested}")
    return suggested


def _estimate(session: Session, parameters: GenParameters, *, auto_review: bool = True) -> Estimate:
    return estimate_gen(
        session.corpus,
        parameters,
        distill_model=session.models.distill,
        cluster_model=session.models.cluster,
        synth_model=session.models.synth,
        auto_review=auto_review,
    )


def parameters_for(session: Session, counts: Mapping[str, object] | None = None) -> GenParameters:
    """How much to ask for: suggested by the documents, except for the counts that the user gave.

    Raises:
        InputError: For a count that does not exist or is out of range.
    """
    return suggest_parameters(session.corpus.texts, random_state=session.random_state).updated(counts)


def _generation(
    session: Session,
    seed: str | None,
    params: Mapping[str, object] | None,
    n_synth: int,
    custom_prompts: Mapping[str, PromptSpec] | None,
    auto_review: bool,
    steps: Sequence[str] = GEN_STEPS,
) -> Generation:
    if seed is not None and not isinstance(seed, str):
        raise InputError(f"seed={seed!r} must be text, such as seed='social issues'.")
    counts, by_step = split_params(params, steps)
    return Generation(
        parameters=parameters_for(session, counts),
        seed=seed.strip() or None if seed else None,
        n_synth=whole_number(n_synth, what="n_synth"),
        settings=bound_settings(
            step_settings(
                session.models,
                steps=steps,
                params=by_step,
                prompts=custom_prompts,
                columns=list(session.corpus.frame.columns),
            ),
            session.corpus,
        ),
        left_out=[step for step, prompt in (custom_prompts or {}).items() if prompt is None],
        auto_review=auto_review,
        random_state=session.random_state,
    )


async def _generate(session: Session, generation: Generation, *, debug: bool) -> None:
    session._ask_as([*GEN_STEPS, *generation.settings], generation.settings)
    found = await generate(
        session.corpus,
        session.models,
        generation,
        codebook=session.concepts,
        run=session._run,
        timed=session._timed,
        say=print if debug or session.debug else _silent,
    )
    session._quotes, session._bullets = found.quotes, found.bullets
    for concept_id in [i for i in session.concepts if i in session._generated]:
        session.concepts.remove(concept_id, note="replaced by a new generation")
    concepts = [candidate.concept for candidate in found.candidates]
    session.concepts.extend(concepts, note="generated")
    session._generated = {concept.id for concept in concepts}
    session._support |= {candidate.concept.id: candidate.support for candidate in found.candidates}
    session.concept_history = found.history
    session._changed()


async def _select_auto(session: Session, max_concepts: int) -> None:
    concepts = list(session.concepts.values())
    candidates = [Candidate(c, session._support.get(c.id, len(c.example_ids))) for c in concepts]
    seed = next((c.seed for c in concepts if c.seed), None)
    with session._timed("review_select"):
        chosen = await select_concepts(
            candidates, session.models.synth, max_concepts=max_concepts, seed=seed, run=session._run
        )
    for concept in concepts:
        concept.active = concept.id in chosen
    session._changed()


def _silent(_: str) -> None:
    return None
