"""What was put is still there after kills, forks, and several processes on one file."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from text_lloom.llm.cache import Journal
from text_lloom.llm.completion import Completion

_LINES_BEFORE_EACH_KILL = (0, 1, 2, 19, 70, 150, 260, 399)
"""From the opening of the file over the first write to many rounds of twenty."""

WRITER = """
import asyncio, sys
from text_lloom.llm.cache import Journal
from text_lloom.llm.completion import Completion

async def main():
    journal = Journal(sys.argv[1])
    name, most = sys.argv[2], int(sys.argv[3])
    numbers = iter(range(most))

    async def work():
        for n in numbers:
            key = f"{name}-{n}"
            await journal.put(key, Completion(f"reply to {key}", n), model="m", step="s")
            sys.stdout.write(key + "\\n")
            sys.stdout.flush()

    await asyncio.gather(*(work() for _ in range(20)))
    {end}

asyncio.run(main())
"""


def start(path: Path, name: str, most: int = 10**9, end: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER.replace("{end}", end), str(path), name, str(most)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def lost(path: Path, keys: list[str]) -> list[str]:
    """Those of the reported keys that cannot be read."""
    journal = Journal(path)
    missing = [key for key in keys if journal.get(key) is None or journal.get(key).text != f"reply to {key}"]  # type: ignore[union-attr]
    assert journal.info().problem is None
    journal.close()
    return missing


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_no_kill_loses_a_reply_that_was_reported(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    reported: list[str] = []
    for round_, lines_before_kill in enumerate(_LINES_BEFORE_EACH_KILL):
        with start(path, f"round{round_}") as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(lines_before_kill)]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        assert process.returncode == -signal.SIGKILL
        reported += [line.strip() for line in lines if line.endswith("\n")]
    assert len(reported) > len(_LINES_BEFORE_EACH_KILL) * 20
    assert lost(path, reported) == []


@pytest.mark.slow
def test_two_processes_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    processes = [start(path, name, 1500) for name in ("one", "two", "three")]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    keys = [key for output in outputs for key in output.split()]
    assert len(keys) == 4500
    assert lost(path, keys) == []


@pytest.mark.parametrize(
    "end",
    [
        "",
        "journal.close()",
        "raise SystemExit(1)",
        "asyncio.create_task(journal.put('last', Completion('x'), model='m', step='s'));"
        "await asyncio.sleep(0)",
    ],
    ids=["plain", "closed", "error", "put-under-way"],
)
def test_a_process_that_ends_leaves_one_whole_file(tmp_path: Path, end: str) -> None:
    path = tmp_path / "journal.sqlite"
    output = start(path, "all", 100, end).communicate(timeout=120)[0]
    assert [found.name for found in tmp_path.iterdir()] == ["journal.sqlite"], "the log was written back"
    assert len(output.split()) == 100
    assert lost(path, output.split()) == []
    if "last" in end:
        journal = Journal(path)
        assert journal.get("last") == Completion("x")
        journal.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_reads_and_writes_too(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")

    def put(key: str) -> None:
        asyncio.run(journal.put(key, Completion(f"reply to {key}"), model="m", step="s"))

    put("before")
    children = []
    for n in range(4):
        child = os.fork()
        if not child:
            code = 1
            try:
                put(f"child{n}")
                both = journal.get("before"), journal.get(f"child{n}")
                journal.close()
                code = 0 if None not in both else 2
            finally:
                os._exit(code)
        children.append(child)
        put(f"parent{n}")
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    journal.close()
    keys = ["before", *(f"{who}{n}" for who in ("child", "parent") for n in range(4))]
    assert lost(journal.path, keys) == []


def test_a_file_locked_by_another_process_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def scenario() -> bool:
        put = asyncio.create_task(journal.put("key", Completion("reply to key"), model="m", step="s"))
        done, _ = await asyncio.wait([put], timeout=0.2)
        other.execute("COMMIT")
        await put
        return not done

    assert asyncio.run(scenario()), "nobody sees a reply that is not on disk"
    other.close()
    journal.close()
    assert lost(path, ["key"]) == []


@pytest.mark.skipif(sys.platform != "linux", reason="sets a limit on the size of files")
def test_a_disk_that_really_refuses_costs_no_reply(tmp_path: Path) -> None:
    program = """
import asyncio, resource, sys, warnings
from text_lloom.llm.cache import Journal
from text_lloom.llm.completion import Completion
journal = Journal(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
async def main():
    for n in range(40):
        await journal.put(str(n), Completion("x" * 20_000), model="m", step="s")
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    asyncio.run(main())
assert all(journal.get(str(n)) for n in range(40))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(len(warned), journal.info().unsaved)
"""
    path = tmp_path / "journal.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "0"], done.stderr
    journal = Journal(path)
    assert all(journal.get(str(n)) for n in range(40))
    journal.close()
