"""Providers, tasks and charts have all of their parts; what is missing is named (`docs/extending.md`)."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Final

import pandas as pd

import text_lloom.tasks
import text_lloom.workbench as wb
from tests.test_prompts import PROMPTS, SNAPSHOTS
from text_lloom.llm.providers.table import PROVIDERS, SERVERS
from text_lloom.local import LocalEngine
from text_lloom.operators.asking import STEPS
from text_lloom.tasks import Task
from text_lloom.widget.state import TABS

ROOT: Final = Path(__file__).resolve().parents[1]
NOT_ANSWERED_LOCALLY: Final = ("MapDocument",)
"""Tasks that the local engine cannot answer: what is asked stands in words that it does not understand."""
TESTED_BY_THE_TABLE: Final = tuple(server.prefix for server in SERVERS.values())
"""Providers that `tests/test_compatible_servers.py` tests because they are in the table."""
NAME_EVERYTHING: Final = ("test_extending.py", "test_extension_points.py", "test_prompts.py")


def tasks() -> Iterator[type[Task[Any]]]:
    """The tasks that the modules of `text_lloom.tasks` define."""
    for module in iter_modules(text_lloom.tasks.__path__, "text_lloom.tasks."):
        for value in vars(importlib.import_module(module.name)).values():
            is_task = inspect.isclass(value) and issubclass(value, Task) and not inspect.isabstract(value)
            if is_task and value.__module__ == module.name:
                yield value


TASKS: Final = {task.__name__: task for task in tasks()}


def refuse(problems: list[str]) -> None:
    assert not problems, "\n".join(problems)


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def said_in_tests(pattern: str, files: str) -> bool:
    """Whether a test file contains a pattern, apart from those that name everything."""
    found = [file for file in (ROOT / "tests").glob(files) if file.name not in NAME_EVERYTHING]
    return any(re.search(pattern, file.read_text(encoding="utf-8")) for file in found)


# --- providers -----------------------------------------------------------------------------------------


def test_every_provider_is_tested() -> None:
    others = [provider for provider in PROVIDERS if provider.prefix not in TESTED_BY_THE_TABLE]
    untested = [
        provider.prefix for provider in others if not said_in_tests(f'"{provider.prefix}[":]', "test_*.py")
    ]
    refuse(
        [
            f"No test makes a model of the provider {p!r}. Write one, such as tests/test_{p}.py."
            for p in untested
        ]
    )


def test_every_compatible_server_is_documented() -> None:
    page = text_of("docs/providers.md")
    lacking = [name for name in SERVERS if name != "openai" and f"\n| `{name}` |" not in page]
    refuse([f"The table of servers in docs/providers.md lacks `{name}`. Add a row." for name in lacking])


# --- tasks ---------------------------------------------------------------------------------------------


def test_every_task_has_a_snapshot_of_its_prompt() -> None:
    problems = []
    for name, task in TASKS.items():
        examples = [key for key, example in PROMPTS.items() if type(example) is task]
        if not examples:
            problems.append(f"{name} has no example in PROMPTS of tests/test_prompts.py. Add one.")
        problems += [
            f"{name} has no tests/prompts/{key}.txt. Run: LLOOM_WRITE_PROMPTS=1 .venv/bin/python -m pytest "
            f"tests/test_prompts.py"
            for key in examples
            if not (SNAPSHOTS / f"{key}.txt").is_file()
        ]
    assert {"MapDocument", "MatchConcepts", "ScoreDocuments"} <= set(TASKS)
    refuse(problems)


def test_every_field_of_a_template_has_a_value() -> None:
    lacking = {
        f"{type(task).__name__}.fields() gives no value for {{{field}}}."
        for task in PROMPTS.values()
        for field in set(task.template.fields) - set(task.fields())
    }
    refuse(sorted(lacking))


def test_the_local_engine_answers_every_task_or_says_that_it_cannot() -> None:
    problems = []
    for name, task in TASKS.items():
        if LocalEngine.can_solve(task) and name in NOT_ANSWERED_LOCALLY:
            problems.append(
                f"The local engine answers {name}; take it out of NOT_ANSWERED_LOCALLY in this file."
            )
        elif not LocalEngine.can_solve(task) and name not in NOT_ANSWERED_LOCALLY:
            problems.append(
                f"The local engine does not answer {name}. Add it to _KINDS in text_lloom/local/engine.py, "
                f"or to NOT_ANSWERED_LOCALLY in this file."
            )
    refuse(problems)


def test_the_steps_that_take_parameters_are_those_of_generation_and_scoring() -> None:
    problems = []
    for name, task in TASKS.items():
        if task.stage in ("generation", "scoring") and task.step not in STEPS:
            problems.append(
                f"{name} belongs to the stage {task.stage!r}, but has no Step in STEPS of "
                f"text_lloom/operators/asking.py. Add one with an example."
            )
        if task.stage not in ("generation", "scoring") and task.step in STEPS:
            problems.append(
                f"{name} belongs to the stage {task.stage!r}, so neither gen() nor score() asks it. Take it "
                f"out of STEPS in text_lloom/operators/asking.py, or change its stage."
            )
    refuse(problems)


def test_every_task_is_tested() -> None:
    untested = [name for name in TASKS if not said_in_tests(name, "test_*.py")]
    refuse(
        [f"No test asks {name}. Write one, such as tests/test_{TASKS[name].step}.py." for name in untested]
    )


def test_every_method_that_asks_models_can_be_called_without_await() -> None:
    session = wb.lloom(pd.DataFrame({"text": ["A text.", "Another one."]}), "text")
    problems = []
    for name, method in vars(wb.lloom).items():
        if not callable(method) or not inspect.iscoroutinefunction(inspect.unwrap(method)):
            continue
        twin = getattr(session.sync, name, None)
        if twin is None:
            problems.append(
                f"lloom.{name} cannot be called as l.sync.{name}(). Add self.{name} = _now(plan_{name}, "
                f"session, session.{name}) to SyncMethods in text_lloom/workbench.py."
            )
        elif list(inspect.signature(twin).parameters) != list(inspect.signature(method).parameters)[1:]:
            problems.append(f"l.sync.{name} takes other arguments than lloom.{name}.")
    refuse(problems)


# --- charts --------------------------------------------------------------------------------------------


def test_python_and_the_view_have_the_same_tabs() -> None:
    source = text_of("widget_js/src/protocol.ts")
    [written] = re.findall(r"^export const TABS = \[(.*?)\] as const;", source, re.MULTILINE | re.DOTALL)
    in_view = re.findall(r'"(\w+)"', written)
    problems = [
        f"TABS in text_lloom/widget/state.py lacks {tab!r}. Add it." for tab in in_view if tab not in TABS
    ]
    problems += [
        f"TABS in widget_js/src/protocol.ts lacks {tab!r}. Add it." for tab in TABS if tab not in in_view
    ]
    refuse(problems)
    assert list(TABS) == in_view, "The tabs of text_lloom/widget/state.py have another order."


def test_the_built_view_has_every_tab() -> None:
    wanted = json.dumps(TABS, separators=(",", ":"))
    files = [f"text_lloom/widget/static/{name}.js" for name in ("widget", "standalone")]
    stale = [file for file in files if wanted not in text_of(file)]
    refuse([f"{file} was built without the tabs {', '.join(TABS)}. Run: make view" for file in stale])


def test_every_tab_is_documented() -> None:
    listed = [name.lower() for name in re.findall(r"^\| (\w+) \|", text_of("docs/view.md"), re.MULTILINE)]
    refuse(
        [
            f"The table of tabs in docs/view.md lacks {tab!r}. Add a row that begins with: | {tab.title()} |"
            for tab in TABS
            if tab not in listed
        ]
    )


def test_every_tab_is_opened_by_a_test() -> None:
    unopened = [
        tab for tab in TABS if not said_in_tests(f'"tab": "{tab}"|name="{tab.title()}"', "test_view_*.py")
    ]
    refuse(
        [f"No test opens the tab {tab!r}. Write one, such as tests/test_view_{tab}.py." for tab in unopened]
    )


def test_every_module_of_the_view_that_computes_a_chart_is_tested() -> None:
    folder = ROOT / "widget_js"
    charts = {path.stem for path in (folder / "src").glob("*.ts")} & set(TABS)
    tested = "".join(path.read_text(encoding="utf-8") for path in (folder / "tests").glob("*.ts*"))
    refuse(
        [
            f"No test imports widget_js/src/{name}.ts. Write widget_js/tests/{name}.test.ts."
            for name in sorted(charts)
            if f'"../src/{name}"' not in tested
        ]
    )


def test_every_style_sheet_is_used() -> None:
    imported = text_of("widget_js/src/style/index.css")
    sheets = sorted(path.name for path in (ROOT / "widget_js" / "src" / "style").glob("*.css"))
    refuse(
        [
            f'widget_js/src/style/index.css does not import {name}. Add: @import "./{name}";'
            for name in sheets
            if name != "index.css" and f'@import "./{name}";' not in imported
        ]
    )
