"""The live view of a session: a widget that shows it, answers messages and follows changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import anywidget
import traitlets

from text_lloom.analysis.prevalence import count_by_slice
from text_lloom.errors import UnknownName
from text_lloom.widget.download import selection_frame
from text_lloom.widget.export import write_page
from text_lloom.widget.handlers import SLOW_KINDS, RequestContext, ViewReply, answer, code_for
from text_lloom.widget.payload import PROTOCOL, changing_traits, plain, sample_trait, score_traits, traits_of
from text_lloom.widget.selection import select_rows
from text_lloom.widget.state import check_state, read_state

if TYPE_CHECKING:
    import pandas as pd

    from text_lloom.analysis.prevalence import SliceCounts
    from text_lloom.widget.host import Host, ViewOptions
    from text_lloom.widget.snapshot import Progress, Snapshot

__all__ = ["THEMES", "ConceptView"]

_STATIC: Final = Path(__file__).parent / "static"
_STILL_WORKING_INTERVAL: Final = 10.0
"""Seconds between two messages that announce a slow answer; the view gives up after 30 without one."""
THEMES: Final = ("auto", "light", "dark")


class ConceptView(anywidget.AnyWidget):
    """The workbench view of a session; `l.vis()` and `l.select()` make it.

    Attributes:
        state: Tab, selection, filters and sorting, as a plain dict. Setting it again restores the view.
            Unknown keys are refused.
        theme: `auto`, `light` or `dark`.

    Args:
        host: The session.
        options: Options of the view.
        kind: The tab to open on: `view` or `select`.
        state: The state to open with.
        theme: `auto` follows the notebook.
        call: The Python call that opens the view, for `python()`.
        fallback: Makes the static HTML that a saved notebook shows instead of the view.
    """

    _esm = _STATIC / "widget.js"
    _css = _STATIC / "widget.css"

    protocol = traitlets.Int(PROTOCOL).tag(sync=True)
    kind = traitlets.Unicode("view").tag(sync=True)
    editable = traitlets.Bool(True).tag(sync=True)
    theme = traitlets.Enum(THEMES, "auto").tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    concepts: Any = traitlets.List().tag(sync=True)
    score_ids: Any = traitlets.List().tag(sync=True)
    scores = traitlets.Bytes().tag(sync=True)
    slices = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    slice_codes = traitlets.Bytes().tag(sync=True)
    labels: Any = traitlets.List().tag(sync=True)
    history = traitlets.Dict().tag(sync=True)
    progress = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    notice = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    chosen: Any = traitlets.List().tag(sync=True)
    sample: Any = traitlets.List().tag(sync=True)

    def __init__(
        self,
        host: Host,
        options: ViewOptions,
        *,
        kind: Literal["view", "select"] = "view",
        state: Mapping[str, Any] | None = None,
        theme: str = "auto",
        call: str = "l.vis()",
        fallback: Callable[[], str] | None = None,
    ) -> None:
        if theme not in THEMES:
            raise UnknownName(theme, THEMES, what="theme")
        self._host, self._options, self._call, self._fallback = host, options, call, fallback
        self._lock = threading.RLock()
        self._beside = ThreadPoolExecutor(2, thread_name_prefix="lloom-view")
        self._snapshot = host.snapshot(options)
        super().__init__(kind=kind, theme=theme, state=check_state(state or {}), **traits_of(self._snapshot))
        self._sampled = bytes(self.scores)
        self.on_msg(self._receive)
        self.observe(self._choose, "chosen")

    def __repr__(self) -> str:
        return f"<ConceptView: {len(self._snapshot.corpus):,} documents, {len(self.concepts)} concepts>"

    @property
    def snapshot(self) -> Snapshot:
        """What the view shows now."""
        return self._snapshot

    @property
    def counts(self) -> SliceCounts:
        """How many documents match each scored concept, overall and by slice, at the present threshold."""
        snapshot, state = self._snapshot, read_state(self.state)
        concepts = [snapshot.by_id[i] for i in snapshot.score_ids]
        return count_by_slice(snapshot.table, concepts, snapshot.slices, threshold=state.threshold)

    def selected(self) -> pd.DataFrame:
        """The documents that the view shows now, filtered and in its order.

        Returns:
            One row per document: all columns of the corpus, then a score column per scored concept, with
            the name of the concept (float64, `NaN` = not scored; underscores make names unique). If a
            concept is selected, its `rationale` and `highlight` follow.
        """
        snapshot = self._snapshot
        state = read_state(self.state)
        return selection_frame(snapshot, select_rows(state, snapshot), concept_id=state.concept)

    def python(self) -> str:
        """Code that opens this view with the same state and gets the same selection."""
        return code_for(self.state, self._snapshot, self._call)

    def to_html(
        self,
        path: str | Path,
        *,
        max_docs: int | None = None,
        include_text: bool = True,
    ) -> Path:
        """Write the view in its present state as one self-contained page; see `l.export_html`."""
        fallback = "" if self._fallback is None else self._fallback()
        return write_page(
            path,
            self._snapshot,
            state=dict(self.state),
            theme=self.theme,
            max_docs=max_docs,
            include_text=include_text,
            fallback=fallback,
        )

    def refresh(self) -> None:
        """Show the present state of the session."""
        with self._lock:
            self._snapshot = self._host.snapshot(self._options)
            changed = changing_traits(self._snapshot)
            if changed["scores"] != self._sampled:
                self._sampled = changed["scores"]
                changed |= sample_trait(self._snapshot)
            self._send_traits(changed)

    def follow(self, progress: Progress | None, *, scores: bool = True) -> None:
        """Show the progress of a step, with the scores so far."""
        with self._lock:
            changed: dict[str, Any] = {"progress": None if progress is None else plain(_fields(progress))}
            if scores:
                self._snapshot = self._host.snapshot(self._options)
                changed |= score_traits(self._snapshot)
            self._send_traits(changed)

    def tell(self, level: Literal["info", "warning", "error"], text: str, *, at: str) -> None:
        """Show a notice."""
        with self._lock:
            self._send_traits({"notice": plain({"level": level, "text": text, "at": at})})

    @traitlets.validate("state")
    def _check_state(self, proposal: Any) -> dict[str, Any]:
        return check_state(proposal["value"])

    def _send_traits(self, values: Mapping[str, Any]) -> None:
        with self.hold_sync():
            for name, value in values.items():
                if getattr(self, name) != value:
                    setattr(self, name, value)

    def _choose(self, change: Any) -> None:
        """Pass on the choice of concepts by the front end or the user."""
        shown = [concept.id for concept in self._snapshot.concepts if concept.active]
        if list(change["new"]) != shown:
            self._host.choose([i for i in change["new"] if i in self._snapshot.by_id])

    def _receive(self, _: object, content: object, buffers: Sequence[object]) -> None:
        if not isinstance(content, Mapping) or "id" not in content:
            return
        context = RequestContext(self._snapshot, dict(self.state), self._host, self._options, self._call)
        if content.get("kind") in SLOW_KINDS:
            self._answer_on_thread(content, context)
        else:
            self._reply(answer(content, context))

    def _answer_on_thread(self, content: Mapping[str, Any], context: RequestContext) -> None:
        """Answer on another thread, and tell the view now and then that the answer is still coming."""
        done = threading.Event()

        def work() -> None:
            try:
                reply = answer(content, context)
            finally:
                done.set()
            self._reply(reply)

        def tell() -> None:
            while not done.wait(_STILL_WORKING_INTERVAL):
                self.send({"id": content["id"], "pending": True})

        self._beside.submit(work)
        threading.Thread(target=tell, name="lloom-view-beat", daemon=True).start()

    def _reply(self, reply: ViewReply) -> None:
        self.send(reply.content, reply.buffers)

    def _handle_msg(self, msg: Any) -> None:
        data = msg.get("content", {}).get("data", {})
        if data.get("method") != "update":
            super()._handle_msg(msg)
            return
        # The thread that follows a scoring also sets traits, so only one thread may do so at a time.
        with self._lock:
            super()._handle_msg(msg)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None and self._fallback is not None:
            bundle[0]["text/html"] = self._fallback()
        return bundle


def _fields(progress: Progress) -> dict[str, Any]:
    return {name: getattr(progress, name) for name in progress.__dataclass_fields__}
