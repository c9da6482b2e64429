"""Saving a session to a file, and restoring its state."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from text_lloom.labels import Labels
from text_lloom.llm.control.usage import Ledger
from text_lloom.session.edit import Editing

if TYPE_CHECKING:
    from text_lloom.storage.session import SessionState

__all__ = ["restore_state", "save_session"]


def save_session(session: Editing, folder: str | Path, file_name: str | None = None) -> Path:
    """Write the session file; see `lloom.save`."""
    from text_lloom.storage.session import write_session

    name = file_name or time.strftime("%Y-%m-%d-%H-%M-%S")
    path = write_session(Path(folder) / f"{name.removesuffix('.lloom')}.lloom", _state_of(session))
    print(f"Saved session to {path}")
    return path


def _state_of(session: Editing) -> SessionState:
    """All that is saved of a session; no keys and no models."""
    from text_lloom.storage.session import SessionState

    return SessionState(
        corpus=session.corpus,
        codebook=session.concepts,
        table=session.table,
        quotes=session._quotes,
        bullets=session._bullets,
        support=session._support,
        attempts=session.ledger.attempts,
        step_seconds=[(step, at, seconds) for (step, at), seconds in session.time.items()],
        failures=tuple(session._run.failures),
        settings={
            "random_state": session.random_state,
            "generated": sorted(session._generated),
            "batches": session._batches.to_json(),
            "scorings": session._scorings.to_json(session.table),
        },
        labels=tuple(session._labels),
        layout=session._layout,
    )


def restore_state(session: Editing, state: SessionState) -> None:
    """Put a saved state into a new session about the same documents.

    Raises:
        FileProblem: When a setting is not what a session writes.
    """
    settings = state.settings
    session.concepts, session.table = state.codebook, state.table
    session._quotes, session._bullets, session._support = state.quotes, state.bullets, state.support
    session._labels, session._layout = Labels(state.labels), state.layout
    session._run.ledger = Ledger(state.attempts)
    session._run.failures.extend(state.failures)
    session.time = {(step, at): seconds for step, at, seconds in state.step_seconds}
    if "scorings" in settings:
        session._scorings.restore(settings["scorings"], session.table)
    if "batches" in settings:
        session._batches.restore(settings["batches"])
    generated = settings.get("generated", [])
    session._generated = {str(i) for i in generated} if isinstance(generated, list) else set()
