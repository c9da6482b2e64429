"""Runs pytest once per line of its input, in forks of a process that has loaded the packages of others.

A line is a JSON list: the file for what pytest prints, then its arguments. The reply is the exit status.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Final

LOADED: Final = (
    *("aiohttp", "jinja2", "limits", "narwhals", "numpy", "pandas", "playwright.sync_api", "pydantic"),
    *("pytest", "rich", "typer"),
)
"""Pytest loads its plugins itself, and each fork loads our package anew."""


def main() -> None:
    for name in LOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        output, *arguments = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(run(output, arguments))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def run(output: str, arguments: list[str]) -> int:
    import pytest

    with open(output, "wb", buffering=0) as file:  # noqa: PTH123
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        return int(pytest.main(["-q", "-p", "no:cacheprovider", *arguments]))
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    main()
