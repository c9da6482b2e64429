"""The recipes of `docs/extending.md` work as they stand, and a step that is left out is refused by name."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.browser import chromium
from text_lloom.errors import UnknownName
from text_lloom.llm import Model, model_from
from text_lloom.llm.providers.registry import plugin_providers

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "extending.md"
COPIED: Final = ("docs", "tests", "text_lloom", "widget_js", "pyproject.toml", "README.md")
WRITTEN: Final = ("docs", "tests/prompts", "text_lloom/widget/static")
"""Folders into which the commands of the page write."""
SERVER: Final = "A server that speaks OpenAI's protocol"
PROVIDER: Final = "A provider with a protocol of its own"
PACKAGE: Final = "A provider in another package"
TASK: Final = "Add a task"
CHART: Final = "Add a chart"

_CODE: Final = r"(?:``\s?(?P<{0}2>.+?)\s?``|`(?P<{0}1>[^`]+)`)"
_CREATE: Final = re.compile(r"Create `(?P<path>[^`]+)`")
_ADD: Final = re.compile(
    r"In `(?P<path>[^`]+)`, add (?:(?P<imports>to the imports)|(?P<file>at the end of the file)"
    rf"|at the end of {_CODE.format('name')}|below the line that begins with {_CODE.format('line')})"
)
_RUN: Final = re.compile(r"^\d+\. Run `(?P<command>[^`]+)`")


# --- the page ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One thing to do: a file to create, code to add, or a command to run."""

    path: str = ""
    where: str = ""
    code: str = ""
    command: str = ""

    @property
    def name(self) -> str:
        """What identifies the step within its recipe."""
        return self.command or f"{self.path} {self.where}".strip()


@cache
def recipe(title: str) -> tuple[Step, ...]:
    """The steps under a heading of the page, in order."""
    page = PAGE.read_text(encoding="utf-8")
    [section] = re.findall(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", outside_code(page), re.M | re.S)
    steps: list[Step] = []
    told = ""
    lines = iter(section.splitlines())
    for line in lines:
        fence = re.match(r" *```", line)
        if fence is None:
            told = line.strip() or told
            if found := _RUN.match(line):
                steps.append(Step(command=found["command"]))
            continue
        code: list[str] = []
        while not (line := next(lines)).startswith(fence[0]):
            code.append(line.replace("\0", "#"))
        steps.append(step_of(told, dedent_by(code, len(fence[0]) - 3)))
    return tuple(steps)


def outside_code(page: str) -> str:
    """The page with `#` in code replaced, so that it is no heading."""
    return re.sub(r"^ *```.*?^ *```$", lambda block: block[0].replace("#", "\0"), page, flags=re.M | re.S)


def dedent_by(code: list[str], n: int) -> str:
    return "".join(f"{line[n:]}\n" for line in code)


def step_of(told: str, code: str) -> Step:
    """The step that a sentence and the code below it describe."""
    if found := _CREATE.search(told):
        return Step(found["path"], "", code)
    found = _ADD.search(told)
    assert found, f"The page shows code, but says neither 'Create' nor 'In …, add …' before it: {told!r}"
    if found["imports"]:
        return Step(found["path"], "imports", code)
    if found["file"]:
        return Step(found["path"], "end", code)
    if name := found["name1"] or found["name2"]:
        return Step(found["path"], f"in {name}", code)
    return Step(found["path"], f"below {found['line1'] or found['line2']}", code)


# --- following it --------------------------------------------------------------------------------------


class Ran(NamedTuple):
    """How a command ended, and what it said."""

    status: int
    output: str


class Tree:
    """A copy of the repository in which a recipe is followed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("node_modules"))
            else:
                shutil.copy2(ROOT / name, root / name)
        self._before: dict[Step, dict[Path, bytes | None]] = {}
        self._forks: subprocess.Popen[str] | None = None

    def follow(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if step.command:
                before = self._written()
                self._run_step(step.command)
                after = self._written()
                self._before[step] = {p: before.get(p) for p in after if before.get(p) != after[p]}
            else:
                self._before[step] = {}
                self._write(step)
                self.format(step.path)

    def format(self, path: str) -> None:
        """As `make format` does."""
        if path.endswith(".py"):
            for command in (["check", "--fix", "--select=I"], ["format"]):
                ruff = [sys.executable, "-m", "ruff", *command, "--quiet", path]
                subprocess.run(ruff, cwd=self.root, check=True)

    def run(self, command: str) -> Ran:
        """Run a command in the copy, which is where its Python finds the package."""
        if command.startswith("pytest "):
            return self._pytest(command.split()[1:])
        ran = subprocess.run(
            re.sub(r"(?<!\S)\.venv/bin/python", sys.executable, command),
            shell=True,
            cwd=self.root,
            env=self._environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return Ran(ran.returncode, ran.stdout)

    def _pytest(self, arguments: list[str]) -> Ran:
        if self._forks is None:
            self._forks = subprocess.Popen(
                [sys.executable, "-m", "tests.forked_pytest"],
                cwd=self.root,
                env=self._environment(),
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        assert self._forks.stdin is not None
        assert self._forks.stdout is not None
        output = self.root / "output.txt"
        print(json.dumps([str(output), *arguments]), file=self._forks.stdin, flush=True)
        status = self._forks.stdout.readline()
        return Ran(int(status), output.read_text(encoding="utf-8"))

    def close(self) -> None:
        """End the process that runs pytest."""
        if self._forks is not None:
            with self._forks:
                assert self._forks.stdin is not None
                self._forks.stdin.close()

    def _environment(self) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return {**others, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}

    def leave_out(self, step: Step) -> Iterator[None]:
        """The tree without one of its steps, until the iterator goes on."""
        paths = [self.root / step.path] if step.path else list(self._before[step])
        kept = {path: path.read_bytes() for path in paths}
        for path in paths:
            if step.where:
                text = kept[path].decode()
                for part in step.code.splitlines(keepends=True) if step.where == "imports" else [step.code]:
                    assert text.count(part) == 1, f"{step.path}: the page has other code after make format"
                    text = text.replace(part, "")
                path.write_text(text, encoding="utf-8")
            elif (before := self._before[step].get(path)) is not None:
                path.write_bytes(before)
            else:
                path.unlink()
        yield
        for path, content in kept.items():
            path.write_bytes(content)

    def _written(self) -> dict[Path, bytes]:
        files = (path for folder in WRITTEN for path in (self.root / folder).rglob("*") if path.is_file())
        return {path: path.read_bytes() for path in files}

    def _run_step(self, command: str) -> None:
        if command == "make view":
            command = "cd widget_js && npm run check && npm test && npm run build"  # without npm ci
        if command.startswith(".venv/bin/python -m pytest"):
            command += ' -k "nimbus or preset"'
        ran = self.run(command)
        assert ran.status == 0, f"{command}\n{ran.output}"

    def _write(self, step: Step) -> None:
        path = self.root / step.path
        if not step.where:
            assert not path.exists(), f"{step.path} is there already."
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.code, encoding="utf-8")
            return
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        lines.insert(self._place(step, lines), step.code)
        path.write_text("".join(lines), encoding="utf-8")

    def _place(self, step: Step, lines: list[str]) -> int:
        """The number of the line before which the code of a step goes."""
        how, _, what = step.where.partition(" ")
        if how == "end":
            return len(lines)
        if how == "imports":
            return next(n for n, line in enumerate(lines) if line.startswith(("from text_lloom", "import {")))
        if how == "below":
            [found] = [n for n, line in enumerate(lines) if line.lstrip().startswith(what)]
            return found + 1
        defined = re.compile(rf"(export )?(const |class )?{re.escape(what)}\b[^=]*[=:(]")
        [start] = [n for n, line in enumerate(lines) if defined.match(line)]
        end = next(
            n for n, line in enumerate(lines[start + 1 :], start + 1) if not line.startswith((" ", "\n"))
        )
        while not lines[end - 1].strip():
            end -= 1
        return end


def told(tree: Tree, step: Step, check: str) -> str:
    """What a check says of a tree without a step; it has to fail."""
    without = tree.leave_out(step)
    next(without)
    ran = tree.run(check)
    next(without, None)
    assert ran.status != 0, f"Nobody noticed that {step.name} is missing.\n{ran.output}"
    return ran.output


def names(title: str) -> list[str]:
    return [step.name for step in recipe(title)]


def step_named(title: str, name: str) -> Step:
    [step] = [step for step in recipe(title) if step.name == name]
    return step


POINTS: Final = "pytest tests/test_extension_points.py"


# --- a task --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_task(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    with closing(Tree(tmp_path_factory.mktemp("task"))) as tree:
        tree.follow(recipe(TASK))
        yield tree


def test_a_task_works(with_task: Tree) -> None:
    ran = with_task.run("pytest tests/test_extension_points.py tests/test_prompts.py tests/test_tone.py")
    assert ran.status == 0, ran.output
    linted = with_task.run(
        f"{sys.executable} -m ruff check text_lloom tests/test_tone.py tests/test_prompts.py"
    )
    assert linted.status == 0, linted.output


TASK_FORGOTTEN: Final = {
    "text_lloom/tasks/tone.py": (POINTS, "No module named 'text_lloom.tasks.tone'"),
    "text_lloom/local/tone.py": (POINTS, "No module named 'text_lloom.local.tone'"),
    "text_lloom/local/engine.py imports": (POINTS, "name 'JudgeTone' is not defined"),
    "text_lloom/local/engine.py in _KINDS": (
        f"{POINTS} tests/test_tone.py",
        "The local engine does not answer JudgeTone. Add it to _KINDS",
    ),
    "text_lloom/operators/tone.py": (POINTS, "No module named 'text_lloom.operators.tone'"),
    "text_lloom/session/tone.py": (POINTS, "No module named 'text_lloom.session.tone'"),
    "text_lloom/workbench.py imports": (POINTS, "name 'plan_tone' is not defined"),
    "text_lloom/workbench.py in lloom": (POINTS, "object has no attribute 'tone'"),
    "text_lloom/workbench.py in SyncMethods": (POINTS, "lloom.tone cannot be called as l.sync.tone()"),
    "tests/test_prompts.py imports": (POINTS, "name 'JudgeTone' is not defined"),
    "tests/test_prompts.py in PROMPTS": (POINTS, "JudgeTone has no example in PROMPTS"),
    "LLOOM_WRITE_PROMPTS=1 .venv/bin/python -m pytest tests/test_prompts.py": (
        POINTS,
        "JudgeTone has no tests/prompts/judge_tone.txt. Run: LLOOM_WRITE_PROMPTS=1",
    ),
    "tests/test_tone.py": (POINTS, "No test asks JudgeTone"),
}


@pytest.mark.parametrize("name", names(TASK))
def test_a_step_of_a_task_that_is_left_out_is_named(with_task: Tree, name: str) -> None:
    check, message = TASK_FORGOTTEN[name]
    assert message in told(with_task, step_named(TASK, name), check)


def test_a_local_answer_that_is_left_out_is_named_to_the_user(with_task: Tree) -> None:
    step = step_named(TASK, "text_lloom/local/engine.py in _KINDS")
    message = "'local' cannot answer the step 'judge_tone'; pass a language model"
    assert message in told(with_task, step, "pytest tests/test_tone.py")


def test_a_task_of_gen_without_its_step_is_named(with_task: Tree) -> None:
    path = with_task.root / "text_lloom" / "tasks" / "tone.py"
    source = path.read_text(encoding="utf-8")
    path.write_text(source.replace('stage = "map"', 'stage = "generation"'), encoding="utf-8")
    ran = with_task.run(POINTS)
    path.write_text(source, encoding="utf-8")
    assert "JudgeTone belongs to the stage 'generation', but has no Step in STEPS" in ran.output


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('step = "judge_tone"', "The task JudgeTone must define its class attribute 'step'"),
        ('stage = "map"', "must define its class attribute 'stage', one of 'generation', 'scoring', 'map'"),
        ("reply = ToneReply", "The task JudgeTone must define its class attribute 'reply'"),
        ("expected_tokens = 8", "The task JudgeTone must define its class attribute 'expected_tokens'"),
        (r"{text}", "The template of the task JudgeTone lacks the field {text}"),
    ],
)
def test_what_the_class_of_a_task_lacks_is_named_when_it_is_defined(line: str, message: str) -> None:
    source = step_named(TASK, "text_lloom/tasks/tone.py").code
    assert line in source
    with pytest.raises(TypeError, match=re.escape(message)):
        exec(compile(source.replace(line, ""), "tone.py", "exec", dont_inherit=True), {"__name__": __name__})


# --- a provider ----------------------------------------------------------------------------------------


TABLE: Final = "LLOOM_WRITE_DOCS=1 .venv/bin/python -m pytest tests/test_docs.py -k table"
TABLE_TEST: Final = "pytest tests/test_docs.py -k table"
ENTRY: Final = "text_lloom/llm/providers/table.py in PROVIDERS"


@pytest.fixture(scope="module")
def with_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    with closing(Tree(tmp_path_factory.mktemp("server"))) as tree:
        tree.follow(recipe(SERVER))
        yield tree


@pytest.fixture(scope="module")
def with_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    with closing(Tree(tmp_path_factory.mktemp("provider"))) as tree:
        tree.follow(recipe(PROVIDER))
        yield tree


def test_a_compatible_server_works(with_server: Tree) -> None:
    ran = with_server.run(POINTS)
    assert ran.status == 0, ran.output
    code = (
        "from text_lloom.llm import OpenAIModel, model_from; "
        "made = model_from('nimbus:nimbus-1', api_key='key'), OpenAIModel.nimbus('nimbus-1', api_key='key'); "
        "print([model.base_url for model in made])"
    )
    ran = with_server.run(f'.venv/bin/python -c "{code}"')
    assert ran.output.strip() == str(["https://api.nimbus.example/v1"] * 2)


PRESETS_TEST: Final = "pytest tests/test_model_options.py -k preset"
SERVER_FORGOTTEN: Final = {
    ENTRY: (PRESETS_TEST, "'nimbus'"),
    "text_lloom/llm/providers/servers.py below kserve = Preset()": (PRESETS_TEST, "'nimbus'"),
    "docs/providers.md below | `kserve`": (POINTS, "docs/providers.md lacks `nimbus`"),
    TABLE: (TABLE_TEST, "docs/models.md lists other providers. Run: LLOOM_WRITE_DOCS=1"),
}


@pytest.mark.parametrize("name", SERVER_FORGOTTEN)
def test_a_step_of_a_server_that_is_left_out_is_named(with_server: Tree, name: str) -> None:
    check, message = SERVER_FORGOTTEN[name]
    assert message in told(with_server, step_named(SERVER, name), check)


def test_a_provider_works(with_provider: Tree) -> None:
    ran = with_provider.run("pytest tests/test_nimbus.py tests/test_extension_points.py")
    assert ran.status == 0, ran.output
    linted = with_provider.run(f"{sys.executable} -m ruff check text_lloom tests/test_nimbus.py")
    assert linted.status == 0, linted.output


NIMBUS_TEST: Final = "pytest tests/test_nimbus.py"
PROVIDER_FORGOTTEN: Final = {
    "text_lloom/llm/providers/nimbus.py": (NIMBUS_TEST, "No module named 'text_lloom.llm.providers.nimbus'"),
    ENTRY: (NIMBUS_TEST, "Unknown provider in model: 'nimbus'"),
    "tests/test_nimbus.py": (POINTS, "No test makes a model of the provider 'nimbus'"),
    TABLE: (TABLE_TEST, "docs/models.md lists other providers. Run: LLOOM_WRITE_DOCS=1"),
}


@pytest.mark.parametrize("name", names(PROVIDER))
def test_a_step_of_a_provider_that_is_left_out_is_named(with_provider: Tree, name: str) -> None:
    check, message = PROVIDER_FORGOTTEN[name]
    assert message in told(with_provider, step_named(PROVIDER, name), check)


@pytest.mark.parametrize("title", [SERVER, PROVIDER])
def test_an_entry_must_say_how_it_was_tested(title: str) -> None:
    entry = step_named(title, ENTRY).code
    assert 'tested=("recorded wire",)' in entry
    code = entry.replace('tested=("recorded wire",)', "").strip().rstrip(",").replace("streaming=True, ", "")
    scope = {"__name__": "entry", "_PROVIDERS": ""}
    exec("from text_lloom.llm.providers.table import *", scope)
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'tested'"):
        eval(code, scope)


# --- a provider of another package ---------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of the page, installed as `pip install` does; without its entry point as yet."""
    toml, module, command = recipe(PACKAGE)
    assert command.command == "pip install ./lloom-echo"
    about = tomllib.loads(toml.code)["project"]
    folder = tmp_path / f"lloom_echo-{about['version']}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: 1.0\n")
    [(group, points)] = about["entry-points"].items()
    listed = [f"{name} = {value}" for name, value in points.items()]
    (folder / "entry_points.txt").write_text("\n".join([f"[{group}]", *listed]))
    (tmp_path / Path(module.path).name).write_text(module.code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin_providers.cache_clear()
    yield tmp_path
    plugin_providers.cache_clear()
    sys.modules.pop("lloom_echo", None)


def test_a_provider_of_another_package_works(package: Path) -> None:
    model = model_from("echo:loud")
    assert isinstance(model, Model)
    assert model.sync.call("Which bus is late?", cache=False).text == "Which bus is late?"


def test_an_entry_point_that_is_left_out_is_named(package: Path) -> None:
    next(package.glob("*.dist-info")).joinpath("entry_points.txt").unlink()
    with pytest.raises(UnknownName, match="'echo'"):
        model_from("echo:loud")


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        (
            "PROVIDER = ",
            "package lloom-echo is left out: AttributeError: module 'lloom_echo' has no attribute",
        ),
        ('tested=("in process",)', "package lloom-echo is left out: TypeError: .*'tested'"),
    ],
)
def test_what_a_package_lacks_is_named(package: Path, gone: str, message: str) -> None:
    module = package / "lloom_echo.py"
    source = module.read_text(encoding="utf-8")
    assert gone in source
    module.write_text(source.replace(gone, ""), encoding="utf-8")
    with pytest.warns(UserWarning, match=message), pytest.raises(UnknownName):
        model_from("echo:loud")


# --- a chart -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_chart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    if shutil.which("npm") is None:
        missing("Node is not installed: https://nodejs.org")
    with closing(Tree(tmp_path_factory.mktemp("chart"))) as tree:
        modules = ROOT / "widget_js" / "node_modules"
        if modules.is_dir():
            (tree.root / "widget_js" / "node_modules").symlink_to(modules)
        elif (ran := tree.run("cd widget_js && npm ci --no-audit --no-fund")).status != 0:
            missing(f"npm ci failed: {ran.output[-300:]}")
        tree.follow(recipe(CHART))
        yield tree


def missing(reason: str) -> None:
    if os.environ.get("LLOOM_REQUIRE_NODE"):
        pytest.fail(reason)
    pytest.skip(reason)


def test_a_chart_works(with_chart: Tree) -> None:
    browser = "tests/test_view_matches.py" if chromium() is not None else ""
    ran = with_chart.run(f"pytest tests/test_extension_points.py {browser}")
    assert ran.status == 0, ran.output


TYPES: Final = "cd widget_js && npm run check"
CHART_FORGOTTEN: Final = {
    "widget_js/src/matches.ts": (TYPES, "Cannot find module '../matches'"),
    "widget_js/src/components/Matches.tsx": (TYPES, "Cannot find module './Matches'"),
    "widget_js/src/protocol.ts in TABS": (TYPES, "'matches' does not exist in type 'Record<"),
    "widget_js/src/components/panels.ts imports": (TYPES, "Cannot find name 'Matches'"),
    "widget_js/src/components/panels.ts in PANELS": (TYPES, "Property 'matches' is missing in type"),
    "widget_js/src/style/matches.css": ("cd widget_js && npm run build", 'Could not resolve "./matches.css"'),
    "widget_js/src/style/index.css end": (POINTS, "index.css does not import matches.css"),
    "text_lloom/widget/state.py in TABS": (POINTS, "TABS in text_lloom/widget/state.py lacks 'matches'"),
    "docs/view.md below | History": (POINTS, "docs/view.md lacks 'matches'"),
    "tests/test_view_matches.py": (POINTS, "No test opens the tab 'matches'"),
    "widget_js/tests/matches.test.ts": (POINTS, "No test imports widget_js/src/matches.ts"),
    "make view": (POINTS, "was built without the tabs"),
}


@pytest.mark.parametrize("name", names(CHART))
def test_a_step_of_a_chart_that_is_left_out_is_named(with_chart: Tree, name: str) -> None:
    check, message = CHART_FORGOTTEN[name]
    assert message in told(with_chart, step_named(CHART, name), check)


def test_the_page_has_these_recipes_alone() -> None:
    blocks = re.findall(r"^ *```\w+$", PAGE.read_text(encoding="utf-8"), re.M)
    followed = [step for title in (SERVER, PROVIDER, PACKAGE, TASK, CHART) for step in recipe(title)]
    assert len(blocks) == sum(1 for step in followed if step.code)
