"""The journal keeps replies through everything that happens to files and processes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.crowd import PATIENCE
from text_lloom.errors import FileProblem, InputError
from text_lloom.llm.cache import Journal, open_journal
from text_lloom.llm.cache import file as journal_file
from text_lloom.llm.cache import writer as journal_writer
from text_lloom.llm.completion import Completion

REPLY = Completion('{"answer": "A", "quote": "the 40 bus is late — 遅い"}', 812, 64, "stop", 0.0003)
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=200)


def key_of(question: object) -> str:
    return hashlib.sha256(repr(question).encode("utf-8", "surrogatepass")).hexdigest()


def put(
    journal: Journal, question: object, reply: Completion = REPLY, *, model: str = "m", step: str = "score"
) -> str:
    key = key_of(question)
    asyncio.run(journal.put(key, reply, model=model, step=step))
    return key


def opened_with(path: Path, *questions: object) -> tuple[Journal, list[str]]:
    """A journal into which some replies were put, and their keys."""
    journal = Journal(path)
    return journal, [put(journal, question) for question in questions]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.sqlite")
    yield journal
    journal.close()


class TestKeeping:
    def test_a_reply_comes_back_as_it_was_put(self, journal: Journal) -> None:
        assert journal.get(put(journal, "buses")) == REPLY
        assert journal.get(key_of("trains")) is None

    def test_a_reply_outlives_its_journal(self, tmp_path: Path) -> None:
        first = Journal(tmp_path / "journal.sqlite")
        key = put(first, "buses")
        first.close()
        second = Journal(tmp_path / "journal.sqlite")
        assert second.get(key) == REPLY
        second.close()

    def test_put_returns_only_when_another_process_could_read_it(self, journal: Journal) -> None:
        key = put(journal, "buses")
        with sqlite3.connect(journal.path) as other:
            assert other.execute("SELECT text FROM replies WHERE key = ?", (key,)).fetchone() == (REPLY.text,)
        other.close()

    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        text=ANY_TEXT,
        tokens=st.tuples(*2 * [st.none() | st.integers(0, 2**63 - 1)]),
        reason=st.none() | ANY_TEXT.filter(lambda text: text.isupper() is False and "e" not in text),
        usd=st.none() | st.floats(0, 1e6),
        model=ANY_TEXT,
        step=ANY_TEXT,
    )
    def test_anything_a_model_may_say_survives(
        self,
        journal: Journal,
        text: str,
        tokens: tuple[int | None, int | None],
        reason: str | None,
        usd: float | None,
        model: str,
        step: str,
    ) -> None:
        reply = Completion(text, *tokens, reason, usd)
        assert journal.get(put(journal, (text, tokens), reply, model=model, step=step)) == reply

    @pytest.mark.parametrize(
        "text",
        ["", "\0", "before\0after", "\ud800 alone", "𝄞" * 250_000, "x" * 1_000_000],
        ids=["empty", "nul", "nul-inside", "lone-surrogate", "wide-megabyte", "megabyte"],
    )
    def test_awkward_texts_survive(self, journal: Journal, text: str) -> None:
        assert journal.get(put(journal, text, Completion(text))) == Completion(text)

    @pytest.mark.parametrize("reason", ["length", "content_filter", "refusal", "SAFETY", "max_tokens"])
    def test_replies_that_were_cut_off_or_refused_are_not_kept(self, journal: Journal, reason: str) -> None:
        assert journal.get(put(journal, "buses", Completion("The bus is", 5, 3, reason))) is None

    def test_the_last_reply_to_a_question_counts(self, journal: Journal) -> None:
        put(journal, "buses", Completion("unreadable"))
        assert journal.get(put(journal, "buses")) == REPLY
        assert journal.info().entries == 1

    def test_a_number_that_sqlite_cannot_take_does_not_cost_the_others(self, journal: Journal) -> None:
        async def together() -> None:
            async with asyncio.TaskGroup() as group:
                for n in range(5):
                    tokens = 2**70 if n == 2 else n
                    group.create_task(journal.put(key_of(n), Completion("yes", tokens), model="m", step="s"))

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asyncio.run(together())
        assert [journal.get(key_of(n)) is not None for n in range(5)] == [True, True, False, True, True]

    def test_a_reply_that_sqlite_cannot_take_costs_a_warning(self, journal: Journal) -> None:
        with pytest.warns(UserWarning, match="cannot be used") as warned:
            key = put(journal, "buses", Completion("yes", 2**70))
        assert len(warned) == 1
        assert journal.get(key) is None
        assert "cannot be used" in str(journal.info().problem)

    def test_a_cancelled_put_is_written_all_the_same(self, journal: Journal) -> None:
        async def cancelled() -> None:
            task = asyncio.create_task(journal.put(key_of("buses"), REPLY, model="m", step="s"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancelled())
        journal.close()
        assert journal.get(key_of("buses")) == REPLY

    def test_many_event_loops_and_threads_write_at_once(self, journal: Journal) -> None:
        def write(thread: int) -> None:
            async def all_of_them() -> None:
                await asyncio.gather(
                    *(journal.put(key_of((thread, n)), REPLY, model="m", step="s") for n in range(50))
                )

            asyncio.run(all_of_them())

        threads = [threading.Thread(target=write, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert journal.info().entries == 300
        assert all(journal.get(key_of((thread, n))) == REPLY for thread in range(6) for n in range(50))

    def test_neither_prompts_nor_keys_are_in_the_file(self, journal: Journal) -> None:
        put(journal, "Is the bus late? sk-secret")
        journal.close()
        content = journal.path.read_bytes()
        assert REPLY.text.encode() in content
        assert b"Is the bus late" not in content
        assert b"sk-secret" not in content


class TestVectors:
    def test_vectors_come_back_and_unknown_keys_are_left_out(self, journal: Journal) -> None:
        rng = np.random.default_rng(0)
        vectors = {key_of(n): rng.normal(size=64).astype(np.float32) for n in range(1200)}
        asyncio.run(journal.put_vectors(vectors, model="embedder"))
        found = journal.get_vectors([*vectors, key_of("other"), *list(vectors)[:3]])
        assert found.keys() == vectors.keys()
        assert all(np.array_equal(found[key], vector) for key, vector in vectors.items())
        assert {vector.dtype for vector in found.values()} == {np.dtype(np.float32)}
        assert journal.info().models["embedder"].entries == 1200

    def test_vectors_of_any_number_type_are_kept_as_float32(self, journal: Journal) -> None:
        vectors = {"double": np.array([0.5, 2.0]), "every other": np.arange(6, dtype=np.float32)[::2]}
        asyncio.run(journal.put_vectors(vectors, model="embedder"))  # type: ignore[arg-type]
        found = journal.get_vectors(list(vectors))
        assert {name: vector.tolist() for name, vector in found.items()} == {
            "double": [0.5, 2.0],
            "every other": [0.0, 2.0, 4.0],
        }
        assert {vector.dtype for vector in found.values()} == {np.dtype(np.float32)}

    def test_a_vector_and_a_reply_may_share_a_key(self, journal: Journal) -> None:
        key = put(journal, "buses")
        asyncio.run(journal.put_vectors({key: np.ones(3, np.float32)}, model="embedder"))
        assert journal.get(key) == REPLY
        assert journal.get_vectors([key])[key].tolist() == [1, 1, 1]


class TestFlights:
    def ask_together(self, journal: Journal, n: int, ask: Callable[[int], str]) -> list[str | Exception]:
        """What `n` equal requests get, where the `i`-th call is answered by `ask(i)`."""
        calls = 0

        async def request() -> str | Exception:
            nonlocal calls
            async with journal.flight(key_of("buses")) as kept:
                if kept is not None:
                    return kept.text
                calls += 1
                call = calls
                await asyncio.sleep(0.01)
                try:
                    text = ask(call)
                except ValueError as error:
                    return error
                await journal.put(key_of("buses"), Completion(text), model="m", step="s")
                return text

        async def all_requests() -> list[str | Exception]:
            return await asyncio.gather(*(request() for _ in range(n)))

        return asyncio.run(all_requests())

    @settings(deadline=None, max_examples=15)
    @given(n=st.integers(1, 40), failing=st.integers(0, 5))
    def test_equal_requests_make_one_call_that_succeeds(
        self, tmp_path_factory: pytest.TempPathFactory, n: int, failing: int
    ) -> None:
        journal = Journal(tmp_path_factory.mktemp("flights") / "journal.sqlite")
        calls = []

        def ask(call: int) -> str:
            calls.append(call)
            if call <= failing:
                raise ValueError(call)
            return f"reply {call}"

        found = self.ask_together(journal, n, ask)
        journal.close()
        assert len(calls) == min(n, failing + 1)
        texts = [text for text in found if isinstance(text, str)]
        assert texts == [f"reply {failing + 1}"] * max(0, n - failing)

    def test_different_requests_do_not_wait_for_each_other(self, journal: Journal) -> None:
        async def meet() -> None:
            both = asyncio.Barrier(2)

            async def request(key: str) -> None:
                async with journal.flight(key):
                    await both.wait()

            async with asyncio.timeout(10):
                await asyncio.gather(request(key_of("buses")), request(key_of("trains")))

        asyncio.run(meet())

    @pytest.mark.parametrize("when", ["asking", "putting"])
    def test_when_the_leader_is_cancelled_the_next_one_goes_on(self, journal: Journal, when: str) -> None:
        calls = []

        async def request(name: str, asking: asyncio.Event) -> str:
            async with journal.flight(key_of("buses")) as kept:
                if kept is not None:
                    return kept.text
                calls.append(name)
                asking.set()
                if when == "asking" and name == "leader":
                    await asyncio.Event().wait()
                await journal.put(key_of("buses"), Completion(f"for {name}"), model="m", step="s")
                return f"for {name}"

        async def both() -> str:
            asking = asyncio.Event()
            leader = asyncio.create_task(request("leader", asking))
            await asking.wait()
            follower = asyncio.create_task(request("follower", asking))
            await asyncio.sleep(0)
            leader.cancel()
            return await follower

        answer = asyncio.run(both())
        if when == "asking":
            assert (answer, calls) == ("for follower", ["leader", "follower"])
        else:
            assert (answer, calls) == ("for leader", ["leader"])

    def test_who_has_to_wait_is_told(self, journal: Journal) -> None:
        async def scenario() -> None:
            waits = asyncio.Event()

            async def follow() -> None:
                async with journal.flight(key_of("buses"), on_wait=waits.set):
                    pass

            async with asyncio.timeout(10):
                async with journal.flight(key_of("buses"), on_wait=lambda: pytest.fail("nobody is ahead")):
                    follower = asyncio.create_task(follow())
                    await waits.wait()
                await follower

        asyncio.run(scenario())

    def test_a_cancelled_follower_leaves_no_trace(self, journal: Journal) -> None:
        async def scenario() -> Completion | None:
            async def follow() -> None:
                async with journal.flight(key_of("buses")):
                    raise AssertionError("the leader still holds the right")

            async with journal.flight(key_of("buses")):
                follower = asyncio.create_task(follow())
                await asyncio.sleep(0)
                follower.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await follower
            async with asyncio.timeout(10), journal.flight(key_of("buses")) as kept:
                return kept

        assert asyncio.run(scenario()) is None


class TestTrouble:
    @pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
    def test_only_the_owner_can_read_it(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "new" / "journal.sqlite")
        put(journal, "buses")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in journal.path.parent.iterdir()}
        assert modes == {"journal.sqlite": 0o600, "journal.sqlite-wal": 0o600, "journal.sqlite-shm": 0o600}
        assert stat.S_IMODE(journal.path.parent.stat().st_mode) == 0o700
        journal.export(tmp_path / "replies.jsonl")
        assert stat.S_IMODE((tmp_path / "replies.jsonl").stat().st_mode) == 0o600
        journal.close()

    @pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
    def test_a_file_that_others_can_read_is_closed_to_them(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.sqlite"
        path.touch(mode=0o644)
        path.chmod(0o644)
        journal = Journal(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        journal.close()

    def test_an_unusable_folder_costs_one_warning_and_no_reply(self, tmp_path: Path) -> None:
        (tmp_path / "occupied").write_text("not a folder")
        with pytest.warns(UserWarning, match=r"held in memory until they can be written") as warned:
            journal, keys = opened_with(tmp_path / "occupied" / "journal.sqlite", 1, 2, 3)
        assert len(warned) == 1
        assert [journal.get(key) for key in keys] == [REPLY] * 3
        info = journal.info()
        assert (info.entries, info.unsaved) == (0, 3)
        assert info.problem is not None
        (tmp_path / "occupied").unlink()
        journal.flush()
        assert (journal.info().entries, journal.info().unsaved) == (3, 0)
        journal.close()

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
    def test_a_read_only_folder_costs_one_warning(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        try:
            with pytest.warns(UserWarning, match="cannot be used") as warned:
                journal, (key,) = opened_with(tmp_path / "journal.sqlite", "buses")
            assert len(warned) == 1
            assert journal.get(key) == REPLY
        finally:
            tmp_path.chmod(0o700)

    def test_a_full_disk_costs_one_warning_and_no_reply(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        journal = Journal(tmp_path / "journal.sqlite")
        put(journal, "first")
        journal.close()
        connect, full = sqlite3.connect, True

        def small(*args: object, **kwargs: object) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*args, **kwargs)  # type: ignore[call-overload]
            if full:
                connection.execute("PRAGMA max_page_count = 60")
            return connection

        monkeypatch.setattr(sqlite3, "connect", small)
        replies = [Completion(f"{n} " + "late bus " * 4000) for n in range(20)]
        with pytest.warns(UserWarning, match="database or disk is full") as warned:
            keys = [put(journal, n, reply) for n, reply in enumerate(replies)]
        assert len(warned) == 1
        assert [journal.get(key) for key in keys] == replies
        assert journal.get(key_of("first")) == REPLY
        assert journal.info().unsaved > 0
        journal.close()
        full = False
        assert [journal.get(key) for key in keys] == replies
        journal.flush()
        assert (journal.info().unsaved, journal.info().entries) == (0, 21)
        journal.close()

    def test_what_memory_holds_is_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal_writer, "_UNSAVED_BYTES", 10_000)
        (tmp_path / "occupied").write_text("")
        with pytest.warns(UserWarning, match="held in memory"):
            journal = Journal(tmp_path / "occupied" / "journal.sqlite")
        for n in range(50):
            put(journal, n, Completion("x" * 1000))
        assert 5 <= journal.info().unsaved <= 10
        assert journal.get(key_of(49)) is not None

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda content: b"this is no database " * 500,
            lambda content: b"\0" * 4096 + content[4096:],
            lambda content: content[: len(content) // 2],
            lambda content: content[:4096] + os.urandom(len(content) - 4096),
            lambda content: content[:50],
        ],
        ids=["garbage", "no-header", "truncated", "random-pages", "stub"],
    )
    def test_a_damaged_file_is_set_aside_and_a_new_one_started(
        self, tmp_path: Path, spoil: Callable[[bytes], bytes]
    ) -> None:
        path = tmp_path / "journal.sqlite"
        journal = Journal(path)
        for n in range(200):
            put(journal, n, Completion("late bus " * 100))
        journal.close()
        spoiled = spoil(path.read_bytes())
        path.write_bytes(spoiled)
        with pytest.warns(UserWarning, match=r"was damaged\. It was renamed to journal\.corrupt-"):
            journal = Journal(path)
        (aside,) = tmp_path.glob("journal.corrupt-*.sqlite")
        assert aside.read_bytes() == spoiled
        assert journal.get(put(journal, "buses")) == REPLY
        assert journal.info().entries == 1
        journal.close()

    def occupied(self, tmp_path: Path) -> Journal:
        """A journal whose folder cannot be made."""
        (tmp_path / "occupied").write_text("not a folder")
        with pytest.warns(UserWarning, match="held in memory"):
            return Journal(tmp_path / "occupied" / "journal.sqlite")

    def test_what_memory_holds_can_be_read_exported_and_cleared(self, tmp_path: Path) -> None:
        journal = self.occupied(tmp_path)
        put(journal, "buses", model="gpt")
        put(journal, "buses", Completion("the later reply"), model="gpt")
        put(journal, "trains", model="claude")
        asyncio.run(journal.put_vectors({"k": np.arange(3, dtype=np.float32)}, model="embedder"))
        assert journal.get(key_of("buses")) == Completion("the later reply")
        assert journal.get_vectors(["k", "other"])["k"].tolist() == [0, 1, 2]
        assert journal.info().unsaved == 3
        assert journal.export(tmp_path / "replies.jsonl") == 2
        assert journal.clear(model="gpt") == 1
        assert journal.clear(older_than_days=1) == 0
        assert journal.get(key_of("buses")) is None
        assert journal.get(key_of("trains")) == REPLY
        assert journal.clear() == 2
        assert journal.info().unsaved == 0

    def test_what_was_cleared_makes_room_in_memory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal_writer, "_UNSAVED_BYTES", 10_000)
        journal = self.occupied(tmp_path)
        for turn in range(4):
            keys = [put(journal, (turn, n), Completion("x" * 1000)) for n in range(7)]
            assert [journal.get(key) is not None for key in keys] == [True] * 7
            assert put(journal, (turn, 0), Completion("x" * 1000)) == keys[0], "one in place of another"
            assert journal.info().unsaved == 7
            assert journal.clear() == 7

    def test_the_oldest_make_way_in_memory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal_writer, "_UNSAVED_BYTES", 10_000)
        journal = self.occupied(tmp_path)
        keys = [put(journal, n, Completion("x" * 1000)) for n in range(10)]
        assert [journal.get(key) is not None for key in keys] == [False] * 3 + [True] * 7

    def test_a_second_damage_gets_a_name_of_its_own(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.sqlite"
        for _ in range(3):
            path.write_bytes(b"this is no database " * 500)
            with pytest.warns(UserWarning, match="was damaged"):
                journal = Journal(path)
            journal.close()
            path.unlink()
        assert len(list(tmp_path.glob("journal.corrupt-*.sqlite"))) == 3

    def test_a_file_that_lacks_tables_is_set_aside(self, tmp_path: Path) -> None:
        journal, _ = opened_with(tmp_path / "journal.sqlite", "buses")
        journal.close()
        broken = sqlite3.connect(journal.path)
        broken.execute("DROP TABLE vectors")
        broken.close()
        with pytest.warns(UserWarning, match="was damaged"):
            journal = Journal(journal.path)
        assert "was damaged" in str(journal.info().problem)
        assert journal.get(key_of("buses")) is None
        journal.close()

    def test_a_read_that_fails_finds_nothing_and_costs_one_warning(self, journal: Journal) -> None:
        key = put(journal, "buses")
        with closing(sqlite3.connect(journal.path, isolation_level=None)) as connection:
            connection.execute("ALTER TABLE replies RENAME TO elsewhere")
        with pytest.warns(UserWarning, match="no such table") as warned:
            assert [journal.get(key), journal.get(key)] == [None, None]
        assert len(warned) == 1
        asyncio.run(journal.put_vectors({"k": np.ones(3, np.float32)}, model="embedder"))
        assert journal.get_vectors(["k"]).keys() == {"k"}

    @pytest.mark.parametrize("first", ["read", "write"])
    def test_damage_that_shows_later_is_dealt_with_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
    ) -> None:
        path = tmp_path / "journal.sqlite"
        journal = Journal(path)
        for n in range(300):
            put(journal, n, Completion("late bus " * 100))
        journal.close()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(path.stat().st_size - 4096))
        # In a big file, the check at opening runs out of time before it gets to the damage.
        monkeypatch.setattr(journal_file, "_check", lambda connection, path: None)

        def meet_it() -> str:
            if first == "read":
                assert None in [journal.get(key_of(n)) for n in range(1, 300)]
            return put(journal, "buses")

        with pytest.warns(UserWarning, match="was damaged"):
            key = meet_it()
        assert journal.get(key) == REPLY
        assert len(list(tmp_path.glob("journal.corrupt-*.sqlite"))) == 1
        journal.close()
        assert journal.get(key) == REPLY
        journal.close()

    def test_the_file_of_a_later_version_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.sqlite"
        journal = Journal(path)
        put(journal, "buses")
        journal.close()
        later = sqlite3.connect(path)
        later.execute("PRAGMA user_version = 99")
        later.close()
        before = path.read_bytes()
        with pytest.warns(UserWarning, match="later version"):
            journal, (key,) = opened_with(path, "trains")
        assert journal.get(key) == REPLY
        journal.close()
        assert path.read_bytes() == before
        assert not list(tmp_path.glob("*corrupt*"))

    @pytest.mark.parametrize("name", ["people.sqlite", "notes.csv"])
    def test_the_file_of_another_program_is_left_alone(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        if path.suffix == ".csv":
            path.write_text("id,text\n1,The bus is late\n" * 100)
        else:
            people = sqlite3.connect(path)
            people.execute("CREATE TABLE people (name)")
            people.commit()
            people.close()
        before = path.read_bytes()
        with pytest.warns(UserWarning, match="left alone"):
            journal = Journal(path)
        assert journal.get(put(journal, "buses")) == REPLY
        journal.close()
        assert path.read_bytes() == before

    def test_removing_the_folder_under_it_starts_a_new_file(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "cache" / "journal.sqlite")
        put(journal, "buses")
        shutil.rmtree(tmp_path / "cache")
        key = put(journal, "trains")
        journal.close()
        assert journal.get(key) == REPLY
        assert journal.path.is_file()
        journal.close()

    def test_warnings_as_errors_do_not_stop_it(self, tmp_path: Path) -> None:
        (tmp_path / "occupied").write_text("")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            journal = Journal(tmp_path / "occupied" / "journal.sqlite")
            assert journal.get(put(journal, "buses")) == REPLY
        assert journal.info().problem is not None


class TestLimits:
    def age(self, journal: Journal, questions: list[object], days: float) -> None:
        """Have entries be written and used some days earlier."""
        journal.close()
        connection = sqlite3.connect(journal.path)
        connection.executemany(
            "UPDATE replies SET at = at - ?, used = used - ? WHERE key = ?",
            [(days * 86_400, days * 86_400, key_of(question)) for question in questions],
        )
        connection.commit()
        connection.close()

    def test_past_its_size_the_longest_unused_entries_go(self, journal: Journal) -> None:
        for n in range(600):
            put(journal, n, Completion(f"{n} " + "x" * 2000))
        self.age(journal, list(range(300)), days=10)
        assert journal.get(key_of(7)) is not None
        assert journal.prune() == 0
        journal.max_bytes = journal.info().bytes // 2
        assert 0 < journal.prune() < 600
        assert journal.info().entries < 400
        assert journal.get(key_of(599)) is not None
        assert journal.get(key_of(7)) is not None, "it was used a moment ago"
        assert journal.get(key_of(8)) is None

    def test_what_was_long_unused_goes_when_the_journal_is_next_written(self, journal: Journal) -> None:
        put(journal, "old")
        put(journal, "new")
        self.age(journal, ["old"], days=400)
        put(journal, "another")
        journal.close()
        assert journal.get(key_of("old")) is None
        assert journal.get(key_of("new")) == REPLY

    def test_use_keeps_an_entry_young(self, journal: Journal) -> None:
        put(journal, "old")
        self.age(journal, ["old"], days=364)
        assert journal.get(key_of("old")) == REPLY
        journal.close()
        journal.max_age_days = 5
        assert journal.prune() == 0
        assert journal.get(key_of("old")) == REPLY

    def test_an_entry_in_use_is_noted_once_a_day(self, journal: Journal) -> None:
        def last_used() -> float:
            with closing(sqlite3.connect(journal.path)) as connection:
                return float(connection.execute("SELECT used FROM replies").fetchone()[0])

        put(journal, "buses")
        for days, noted in ((0.9, False), (1.1, True)):
            self.age(journal, ["buses"], days)
            before = last_used()
            assert journal.get(key_of("buses")) == REPLY
            journal.close()
            assert (last_used() > before) is noted
            asyncio.run(journal.put(key_of("buses"), REPLY, model="m", step="s"))
            journal.close()

    def test_vectors_in_use_stay_too(self, journal: Journal) -> None:
        vectors = {name: np.ones(3, np.float32) for name in ("used", "unused")}
        asyncio.run(journal.put_vectors(vectors, model="embedder"))
        journal.close()
        with closing(sqlite3.connect(journal.path, isolation_level=None)) as connection:
            connection.execute("UPDATE vectors SET used = used - ?", (400 * 86_400,))
        journal.max_age_days = 1000
        assert set(journal.get_vectors(["used"])) == {"used"}
        journal.close()
        journal.max_age_days = 365
        assert journal.prune() == 1
        assert set(journal.get_vectors(["used", "unused"])) == {"used"}

    def test_what_was_unused_for_just_under_the_limit_stays(self, journal: Journal) -> None:
        journal.max_age_days = 30
        for question, days in (("young", 29), ("old", 31)):
            put(journal, question)
            self.age(journal, [question], days)
        assert journal.prune() == 1
        assert journal.get(key_of("young")) == REPLY
        assert journal.get(key_of("old")) is None

    def test_pruning_for_size_leaves_a_tenth_free(self, journal: Journal) -> None:
        vectors = {f"v{n}": np.full(250, n, np.float32) for n in range(2000)}
        asyncio.run(journal.put_vectors(vectors, model="embedder"))
        journal.close()
        with closing(sqlite3.connect(journal.path, isolation_level=None)) as connection:
            connection.execute("UPDATE vectors SET used = used + rowid")
        # Half of the entries would fit, but less than a tenth of the space would stay free.
        journal.max_bytes = int(journal.path.stat().st_size / 2 * 1.05)
        assert journal.prune() == 1500
        assert set(journal.get_vectors(list(vectors))) == {f"v{n}" for n in range(1500, 2000)}
        assert journal.prune() == 0

    def test_clear_removes_by_model_and_by_age(self, journal: Journal) -> None:
        for n in range(4):
            put(journal, n, model="gpt" if n % 2 else "claude")
        self.age(journal, [0, 1], days=40)
        assert journal.clear(model="gpt", older_than_days=30) == 1
        assert journal.clear(model="llama") == 0
        assert journal.clear(older_than_days=30) == 1
        assert {model: share.entries for model, share in journal.info().models.items()} == {
            "gpt": 1,
            "claude": 1,
        }
        asyncio.run(journal.put_vectors({"k": np.ones(2, np.float32)}, model="embedder"))
        assert journal.clear() == 3
        assert journal.info().entries == 0

    def test_what_was_cleared_has_left_the_disk(self, journal: Journal) -> None:
        put(journal, "buses", Completion("Twenty minutes in the rain"))
        journal.clear()
        journal.close()
        assert all(b"Twenty minutes" not in path.read_bytes() for path in journal.path.parent.iterdir())

    def test_clearing_gives_the_space_back(self, journal: Journal) -> None:
        for n in range(50):
            put(journal, n, Completion("late bus " * 3000))
        before = journal.info().bytes
        journal.clear()
        assert journal.info().bytes < before / 10


class TestLooking:
    def test_info_counts_what_asking_again_would_cost(self, journal: Journal) -> None:
        put(journal, 1, model="gpt")
        put(journal, 2, Completion("yes", None, None), model="gpt")
        asyncio.run(journal.put("k", Completion("no", 10, 1), model="claude", step="s", usd=0.5))
        info = journal.info()
        assert info.path == journal.path
        assert info.entries == 3
        assert info.bytes > 0
        assert info.oldest is not None
        assert info.newest is not None
        assert info.oldest <= info.newest
        assert info.models["gpt"] == (2, 812, 64, 0.0003)
        assert info.models["claude"] == (1, 10, 1, 0.5)

    def test_what_the_provider_says_of_its_price_counts(self, journal: Journal) -> None:
        for usd, own, kept in ((0.5, None, 0.5), (0.5, 0.25, 0.25), (None, 0.25, 0.25), (None, None, None)):
            key = key_of((usd, own))
            asyncio.run(journal.put(key, Completion("no", 10, 1, usd=own), model="claude", step="s", usd=usd))
            reply = journal.get(key)
            assert reply is not None
            assert reply.usd == kept

    def test_info_says_when_in_utc(self, journal: Journal) -> None:
        began = datetime.now(UTC)
        put(journal, 1)
        asyncio.run(journal.put_vectors({"k": np.ones(3, np.float32)}, model="embedder"))
        info = journal.info()
        assert info.oldest is not None
        assert info.newest is not None
        assert began <= info.oldest < info.newest <= datetime.now(UTC)
        assert (info.unsaved, info.problem) == (0, None)
        assert info.bytes == sum(
            path.stat().st_size for path in journal.path.parent.iterdir() if not path.name.endswith("-shm")
        )
        assert list(info.models) == ["embedder", "m"]
        assert info.models["embedder"] == (1, 0, 0, 0.0)

    def test_nothing_to_keep_makes_no_entry(self, journal: Journal) -> None:
        asyncio.run(journal.put_vectors({}, model="embedder"))
        assert journal.get_vectors([]) == {}
        assert journal.info().entries == 0

    def test_an_export_says_what_was_asked_when_and_what_it_cost(
        self, journal: Journal, tmp_path: Path
    ) -> None:
        put(journal, "buses", model="gpt", step="score")
        (tmp_path / "replies.jsonl.part").write_text("left from an export that was broken off")
        journal.export(tmp_path / "replies.jsonl")
        (record,) = [json.loads(line) for line in (tmp_path / "replies.jsonl").read_text().splitlines()]
        at = datetime.fromisoformat(record.pop("at"))
        assert at.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - at) < timedelta(minutes=5)
        assert record == {
            "key": key_of("buses"),
            "model": "gpt",
            "step": "score",
            "in_tokens": 812,
            "out_tokens": 64,
            "finish_reason": "stop",
            "usd": 0.0003,
            "text": REPLY.text,
        }
        assert not list(tmp_path.glob("*.part"))

    def test_info_of_an_empty_journal(self, journal: Journal) -> None:
        info = journal.info()
        assert (info.entries, info.oldest, info.newest, info.models) == (0, None, None, {})

    def test_export_writes_every_reply_as_a_line(self, journal: Journal, tmp_path: Path) -> None:
        texts = ["The bus is late", "line\nbreak", "\ud800", "遅い 🚌"]
        for text in texts:
            put(journal, text, Completion(text, 5, 3, "stop"))
        assert journal.export(tmp_path / "replies.jsonl") == 4
        records = [json.loads(line) for line in (tmp_path / "replies.jsonl").read_text().splitlines()]
        assert [record["text"] for record in records] == texts
        assert records[0].keys() == {
            "key", "model", "step", "at", "text", "in_tokens", "out_tokens", "finish_reason", "usd",
        }  # fmt: skip
        assert records[0]["key"] == key_of("The bus is late")

    @pytest.mark.parametrize("ending", ["", "-wal", "-shm"])
    def test_export_never_writes_over_the_journal(
        self, journal: Journal, tmp_path: Path, ending: str
    ) -> None:
        (tmp_path / "other").mkdir()
        onto = tmp_path / "other" / ".." / f"{journal.path.name}{ending}"
        with pytest.raises(InputError, match="onto itself"):
            journal.export(onto)

    def test_export_that_fails_leaves_nothing_behind(self, journal: Journal, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        with pytest.raises(FileProblem, match="could not be exported"):
            journal.export(tmp_path / "folder")
        assert not list(tmp_path.glob("*.part"))

    def test_export_to_nowhere_says_so(self, journal: Journal, tmp_path: Path) -> None:
        with pytest.raises(FileProblem, match="could not be exported"):
            journal.export(tmp_path / "missing" / "replies.jsonl")
        with pytest.raises(InputError, match="onto itself"):
            journal.export(journal.path)


class TestOpening:
    @pytest.fixture(autouse=True)
    def _close(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LLOOM_CACHE", raising=False)

    def path_of(self, cache: bool | str | Path = True) -> Path | None:
        journal = open_journal(cache)
        if journal is None:
            return None
        journal.close()
        return journal.path

    def test_the_default_is_in_the_cache_directory(self, tmp_path: Path) -> None:
        path = self.path_of()
        assert path is not None
        assert path.name == "journal.sqlite"
        assert path.is_relative_to(tmp_path)

    def test_false_is_none(self) -> None:
        assert open_journal(False) is None

    def test_a_path_is_a_file_or_a_folder(self, tmp_path: Path) -> None:
        tmp_path = tmp_path.resolve()
        assert self.path_of(tmp_path / "mine.sqlite") == tmp_path / "mine.sqlite"
        assert self.path_of(str(tmp_path)) == tmp_path / "journal.sqlite"
        assert self.path_of(tmp_path / "new") == tmp_path / "new" / "journal.sqlite"

    def test_one_journal_per_file_and_process(self, tmp_path: Path) -> None:
        assert open_journal(tmp_path) is open_journal(tmp_path / "journal.sqlite")

    @pytest.mark.parametrize("setting", ["0", "false", "OFF", "no"])
    def test_the_environment_turns_it_off(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str
    ) -> None:
        monkeypatch.setenv("LLOOM_CACHE", setting)
        assert open_journal() is None
        assert open_journal(tmp_path / "mine.sqlite") is None

    def test_the_environment_moves_the_default(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("LLOOM_CACHE", str(tmp_path / "elsewhere"))
        assert self.path_of() == tmp_path.resolve() / "elsewhere" / "journal.sqlite"
        assert self.path_of(tmp_path / "mine.sqlite") == tmp_path.resolve() / "mine.sqlite"

    @pytest.mark.parametrize("setting", ["", "1", " true ", "ON", "yes"])
    def test_the_environment_may_say_that_it_is_on(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str
    ) -> None:
        default = self.path_of()
        monkeypatch.setenv("LLOOM_CACHE", setting)
        assert self.path_of() == default
        assert self.path_of(tmp_path / "mine.sqlite") == tmp_path.resolve() / "mine.sqlite"

    def test_a_file_without_an_ending_may_be_a_journal(self, tmp_path: Path) -> None:
        (tmp_path / "journal").touch()
        assert self.path_of(tmp_path / "journal") == tmp_path.resolve() / "journal"
        (tmp_path / "v1.5").mkdir()
        assert self.path_of(tmp_path / "v1.5") == tmp_path.resolve() / "v1.5" / "journal.sqlite"

    def test_the_limits_of_the_last_who_asked_hold(self, tmp_path: Path) -> None:
        journal = open_journal(tmp_path, max_bytes=5_000_000, max_age_days=2)
        assert journal is not None
        assert (journal.max_bytes, journal.max_age_days) == (5_000_000, 2)
        assert open_journal(tmp_path) is journal
        assert (journal.max_bytes, journal.max_age_days) == (2_000_000_000, 365)
        journal.close()

    @pytest.mark.parametrize("limits", [{"max_bytes": 0}, {"max_age_days": 0}, {"max_age_days": -1}], ids=str)
    def test_limits_must_be_positive(self, tmp_path: Path, limits: dict[str, int]) -> None:
        with pytest.raises(InputError, match="must be positive"):
            open_journal(tmp_path, **limits)  # type: ignore[arg-type]

    @pytest.mark.parametrize("cache", ["", None, 3])
    def test_anything_else_is_refused(self, cache: object) -> None:
        with pytest.raises(InputError, match="cache="):
            open_journal(cache)  # type: ignore[arg-type]


# --- a disk that takes nothing, and another process that holds the file ----------------------------------


def test_what_was_kept_can_be_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    """A disk that takes nothing (the limit of a file's size is 0), in a process of its own."""
    path = tmp_path / "journal.sqlite"
    journal, _ = opened_with(path, "Which bus?")
    journal.close()
    program = f"""
import resource, signal, tempfile, warnings
from text_lloom.llm.cache import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    kept = Journal({str(path)!r}).get({key_of("Which bus?")!r})
print(kept is not None and kept.in_tokens, len(told))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[0] == f"{REPLY.in_tokens} 1", done.stderr


def test_opening_does_not_wait_for_another_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.sqlite"
    journal, _ = opened_with(path, "Which bus?")
    journal.close()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(journal_file, "BUSY_SECONDS", 600.0)  # who waits for the other one does not come back
    with ThreadPoolExecutor(1) as thread:
        try:
            other = thread.submit(Journal, path).result(PATIENCE)
            kept = thread.submit(other.get, key_of("Which bus?")).result(PATIENCE)
        finally:
            holder.execute("ROLLBACK")
            holder.close()
    other.close()
    assert kept is not None
