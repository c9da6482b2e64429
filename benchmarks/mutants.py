"""Mutation testing: runs the tests on a seeded random sample of small defects and counts those they notice.

    python -m benchmarks.mutants --sample 100 --seed 1 [--modules 'text_lloom/analysis/*.py'] [--jobs 2]

A mutant is one small defect: a missing argument, a negated condition, a removed sort. The operators are those
of mutmut and the few of `_EXTRA`. Docstrings, annotations, decorators and the text of messages do not change.
`lloom-out/mutants/` records which test executes which line; a test file is recorded again when it or a module
that it executes has changed. The tests of a mutant run in a copy of the tree, the quick ones first, until one
fails. A time-out counts as noticed.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Final

import libcst as cst
import libcst.matchers as m
import pytest
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_string

ROOT: Final = Path(__file__).resolve().parents[1]
OUT: Final = ROOT / "lloom-out" / "mutants"
# The default modules; patterns without a match are ignored.
MODULES: Final = (
    "text_lloom/scores.py",
    "text_lloom/concept.py",
    "text_lloom/quotes.py",
    "text_lloom/corpus.py",
    "text_lloom/labels.py",
    "text_lloom/analysis/*.py",
    "text_lloom/operators/*.py",
    "text_lloom/storage/*.py",
    "text_lloom/cli/*.py",
    "text_lloom/session/edit.py",
    "text_lloom/llm/dispatch/*.py",
    "text_lloom/llm/cache/*.py",
    "text_lloom/llm/control/*.py",
)
# Browser tests are slow and test only the view.
TESTS: Final = (
    "tests/test_*.py",
    "!tests/test_house.py",
    "!tests/test_view_*.py",
    "tests/test_view_state.py",
)
_PRELOADED: Final = (
    *("aiohttp", "anywidget", "genai_prices", "hypothesis.strategies", "jinja2", "json_repair", "jsonschema"),
    *("limits", "narwhals", "openai", "openTSNE", "pandas", "pyarrow"),
    *("rapidfuzz", "rich", "sklearn.cluster", "tiktoken", "typer"),
)
_MEMORY: Final = 12 * 2**30
_RECORDING_SECONDS: Final = 400


@dataclass(frozen=True)
class Mutant:
    """One defect.

    Attributes:
        module: The file, relative to the root.
        line: Where the defect begins.
        operator: The mutation operator.
        code: The whole mutated module.
        diff: The defect as a unified diff.
        watched: The lines of the module whose execution may show it.
        at_import: Whether its line runs when the module is imported.
    """

    module: str
    line: int
    operator: str
    code: str = field(repr=False)
    diff: str
    watched: tuple[int, ...]
    at_import: bool = False


@dataclass(frozen=True)
class Verdict:
    """The result of a mutant.

    Attributes:
        module: The file, relative to the root.
        line: Where the defect is.
        operator: The mutation operator.
        diff: The defect.
        killed: Whether a test noticed it.
        by: The test that failed, `time-out`, `crash`, or `""`.
        ran: How many tests were to run.
        executing: How many tests execute the line, or may if none is recorded.
    """

    module: str
    line: int
    operator: str
    diff: str
    killed: bool
    by: str
    ran: int
    executing: int


@dataclass(eq=False)
class Outcomes:
    """A pytest plugin that records which tests passed, in how many seconds, and which failed first."""

    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, None] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.outcome != "passed":
            self.failed[report.nodeid] = None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed[report.nodeid] = None


# ---- mutants of a module

Mutated = Iterable[cst.CSTNode]


def _negated(node: cst.If | cst.While) -> Mutated:
    """`if x` → `if not x`; comparisons and negations have their own operators."""
    if isinstance(node.test, cst.Name | cst.Attribute | cst.Call | cst.Subscript):
        yield node.with_changes(
            test=cst.UnaryOperation(cst.Not(), node.test),
            **{
                "whitespace_before_test"
                if isinstance(node, cst.If)
                else "whitespace_after_while": cst.SimpleWhitespace(" ")
            },
        )


def _unsorted(node: cst.Call) -> Mutated:
    if m.matches(node.func, m.Name("sorted")):
        yield cst.Call(cst.Name("list"), [node.args[0].with_changes(comma=cst.MaybeSentinel.DEFAULT)])


def _unfiltered(node: cst.CompFor) -> Mutated:
    if node.ifs:
        yield node.with_changes(ifs=node.ifs[:-1])


def _left_out(node: cst.Expr) -> Mutated:
    """Removes a call whose result is not used."""
    if m.matches(node.value, m.Call() | m.Await(expression=m.Call())):
        yield cst.Pass()


def _never_looped(node: cst.For) -> Mutated:
    yield node.with_changes(iter=cst.Tuple([], lpar=[cst.LeftParen()], rpar=[cst.RightParen()]))


_EXTRA: Final = (
    (cst.If, _negated),
    (cst.While, _negated),
    (cst.Call, _unsorted),
    (cst.CompFor, _unfiltered),
    (cst.Expr, _left_out),
    (cst.For, _never_looped),
)
_WORDING: Final = {
    "warn",
    "debug",
    "info",
    "warning",
    "error",
    "exception",
    "cast",
    "TypeVar",
    "NotImplementedError",
}
_IRRELEVANT_KEYWORDS: Final = {"strict", "stacklevel", "ensure_ascii", "daemon", "repr", "slots", "frozen"}
_Statement = (
    cst.SimpleStatementLine
    | cst.If
    | cst.For
    | cst.While
    | cst.With
    | cst.Try
    | cst.FunctionDef
    | cst.ClassDef
)


class _Finder(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, source: str) -> None:
        super().__init__()
        self.lines = source.splitlines()
        self.found: list[tuple[int, str, cst.CSTNode, cst.CSTNode, tuple[int, ...], bool]] = []
        self._around: list[cst.CSTNode] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if self._is_left_alone(node):
            return False
        if isinstance(node, _Statement):
            self._around.append(node)
        for kind, operator in (*mutation_operators, *_EXTRA):
            if isinstance(node, kind):
                for mutated in _ordinary(node, operator):
                    line = self._span(node)[0]
                    at_import = not any(isinstance(s, cst.FunctionDef) for s in self._around)
                    found = (line, operator.__name__, node, mutated, self._watched(node), at_import)
                    self.found.append(found)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if self._around and self._around[-1] is original_node:
            self._around.pop()

    def _is_left_alone(self, node: cst.CSTNode) -> bool:
        if isinstance(
            node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom | cst.Raise | cst.Assert
        ):
            return True
        if isinstance(node, cst.Expr):
            return isinstance(node.value, cst.SimpleString | cst.ConcatenatedString)
        if isinstance(node, cst.If):
            return m.matches(node.test, m.Name("TYPE_CHECKING"))
        if isinstance(node, cst.FunctionDef):
            return node.name.value in {"__repr__", "__str__"}
        if isinstance(node, cst.Call):
            name = node.func.attr if isinstance(node.func, cst.Attribute) else node.func
            return isinstance(name, cst.Name) and (
                name.value in _WORDING or name.value.endswith(("Error", "NotFound", "UnknownName"))
            )
        if isinstance(node, cst.Subscript):
            return m.matches(node.value, m.Name("Literal") | m.Name("Callable"))
        if isinstance(node, cst.AnnAssign):
            return m.matches(node.annotation.annotation, m.Name("TypeAlias"))
        if isinstance(node, cst.Assign):
            is_type = m.matches(node.value, m.Subscript(m.Name("Literal")))
            return is_type or any(m.matches(t.target, m.Name("__all__")) for t in node.targets)
        if isinstance(node, cst.Arg):
            return node.keyword is not None and node.keyword.value in _IRRELEVANT_KEYWORDS
        return False

    def _span(self, node: cst.CSTNode) -> tuple[int, int]:
        position = self.get_metadata(PositionProvider, node)
        return position.start.line, position.end.line

    def _watched(self, node: cst.CSTNode) -> tuple[int, ...]:
        """The lines that run with the node; for code that runs at import, the lines that use its name."""
        if not self._around:
            return ()
        nearest = self._around[-1]
        functions = [s for s in self._around if isinstance(s, cst.FunctionDef)]
        if isinstance(nearest, cst.FunctionDef):
            first, last = self._span(nearest.body)
        elif functions:
            first, last = (
                self._span(nearest)[0],
                self._span(nearest if isinstance(nearest, cst.SimpleStatementLine) else node)[1],
            )
            if node is nearest and not isinstance(nearest, cst.SimpleStatementLine):
                last = first
        else:
            return self._uses(self.lines[self._span(nearest)[0] - 1])
        return tuple(range(first, last + 1))

    def _uses(self, definition: str) -> tuple[int, ...]:
        """The lines that use the definition on a line, directly or through other definitions."""
        names = set(re.findall(r"^\s*(\w+)\s*[:=]", definition))
        while True:
            uses = [n for n, line in enumerate(self.lines, 1) if names & set(re.findall(r"\w+", line))]
            further = {x for n in uses for x in re.findall(r"^(\w+)\s*[:=]", self.lines[n - 1])}
            if further <= names:
                return tuple(uses)
            names |= further


def _ordinary(node: cst.CSTNode, operator: Callable[[cst.CSTNode], Mutated]) -> Iterator[cst.CSTNode]:
    """The useful mutations of one operator."""
    mutated = list(operator(node))
    if operator is operator_string:
        mutated = mutated[:1]  # a second change of the same text shows nothing new
    for other in mutated:
        if isinstance(node, cst.Call) and isinstance(other, cst.Call):
            changed = [a for a in node.args if not any(a is b for b in other.args)]
            if any(a.keyword is not None and a.keyword.value in _IRRELEVANT_KEYWORDS for a in changed):
                continue
        yield other


def mutants_of(module: str) -> list[Callable[[], Mutant | None]]:
    """All mutants of a module, as functions that create them."""
    source = (ROOT / module).read_text(encoding="utf-8")
    wrapper = MetadataWrapper(cst.parse_module(source))
    finder = _Finder(source)
    wrapper.visit(finder)

    def make(
        line: int,
        operator: str,
        node: cst.CSTNode,
        mutated: cst.CSTNode,
        watched: tuple[int, ...],
        at_import: bool,
    ) -> Mutant | None:
        code = wrapper.module.deep_replace(node, mutated).code  # type: ignore[arg-type]
        if code == source:
            return None
        try:
            compile(code, module, "exec")
        except (SyntaxError, ValueError):
            return None
        diff = "\n".join(
            difflib.unified_diff(source.splitlines(), code.splitlines(), module, module, lineterm="", n=1)
        )
        return Mutant(
            module, line, operator.removeprefix("operator_").strip("_"), code, diff, watched, at_import
        )

    return [partial(make, *found) for found in finder.found]


def draw(modules: Sequence[str], sample: int, seed: int) -> list[Mutant]:
    """A random sample of the mutants of some modules, at most one of each line."""
    made = [(module, make) for module in modules for make in mutants_of(module)]
    random.Random(seed).shuffle(made)
    drawn: dict[tuple[str, int], Mutant] = {}
    for module, make in made:
        if len(drawn) == sample:
            break
        if (module, make.args[0]) not in drawn and (mutant := make()) is not None:
            drawn[module, mutant.line] = mutant
    return list(drawn.values())


# ---- pytest in a separate process


def run_pytest(tree: Path, arguments: Sequence[str], limit: float, **environment: str) -> Outcomes | str:
    """Run pytest in a forked process; returns the outcomes of its tests, `time-out` or `crash`."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(
        target=_pytest_here, args=(tree, list(arguments), environment, sender)
    )
    child.start()
    sender.close()
    answer: Outcomes | str = "time-out"
    if receiver.poll(limit):
        try:
            answer = receiver.recv()
        except EOFError:
            answer = "crash"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid or 0, signal.SIGKILL)
    child.kill()
    child.join()
    receiver.close()
    return answer


def _pytest_here(tree: Path, arguments: list[str], environment: dict[str, str], sender: object) -> None:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(silence, stream)
    os.chdir(tree)
    os.environ |= {"PYTHONPATH": str(tree), "LLOOM_REFUSE_PAID_CALLS": "1"} | environment
    sys.path[:] = [str(tree), *(p for p in sys.path if Path(p or ".").resolve() not in {ROOT, tree})]
    for name in [n for n in sys.modules if n.split(".")[0] in {"benchmarks", "tests", "text_lloom"}]:
        del sys.modules[name]
    outcomes = Outcomes()
    with tempfile.TemporaryDirectory() as folder:
        quiet = ["-q", "-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider"]
        fixed = [*quiet, "--basetemp", str(Path(folder) / "t")]
        code = pytest.main([*fixed, *arguments], plugins=[outcomes])
        if code not in {0, 1, 5} and not outcomes.failed:
            outcomes.failed["pytest itself"] = None
        sender.send(outcomes)  # type: ignore[attr-defined]
        sender.close()  # type: ignore[attr-defined]
    os._exit(0)


def copy_of_tree(folder: Path) -> Path:
    """A copy of the files that git tracks or would track, all compiled."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    subprocess.run([sys.executable, "-m", "compileall", "-q", "text_lloom", "tests"], cwd=folder, check=False)
    return folder


# ---- which test executes which line


@dataclass
class Record:
    """The lines that one test file executes.

    Attributes:
        digest: Of the test file.
        modules: Digest of each module executed.
        seconds: Of each test that passed.
        lines: By module and line, the tests that execute it.
    """

    digest: str
    modules: dict[str, str]
    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""


def recorded(test_file: str, modules: Sequence[str], tree: Path) -> Record:
    """The record of a test file; a stored one if it is up to date."""
    kept = OUT / "recorded" / f"{Path(test_file).stem}.json"
    if kept.is_file():
        content = json.loads(kept.read_text())
        content["lines"] = {f: {int(n): t for n, t in ls.items()} for f, ls in content["lines"].items()}
        record = Record(**content)
        changed = [x for x in modules if x in record.modules and record.modules[x] != _digest(ROOT / x)]
        if record.digest == _digest(ROOT / test_file) and not changed:
            return record
    database = OUT / "coverage" / Path(test_file).stem
    database.parent.mkdir(parents=True, exist_ok=True)
    database.unlink(missing_ok=True)
    arguments = [test_file, "--cov=text_lloom", "--cov-context=test", "--cov-report="]
    outcomes = run_pytest(tree, arguments, _RECORDING_SECONDS, COVERAGE_FILE=str(database))
    if isinstance(outcomes, str):
        print(f"{test_file}: {outcomes} while recording; its tests are left out", flush=True)
        outcomes = Outcomes()
    seconds = {t: round(s, 3) for t, s in outcomes.seconds.items() if t not in outcomes.failed}
    record = Record(_digest(ROOT / test_file), {}, seconds, {})
    if database.is_file() and seconds:
        _read_coverage(database, tree, record)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(asdict(record)))
    print(f"recorded {test_file}: {len(seconds)} tests, {sum(seconds.values()):.0f} s", flush=True)
    return record


def _read_coverage(database: Path, tree: Path, record: Record) -> None:
    from coverage import CoverageData

    coverage = CoverageData(str(database))
    coverage.read()
    for measured in coverage.measured_files():
        module = str(Path(measured).resolve().relative_to(tree.resolve()))
        record.modules[module] = _digest(tree / module)
        lines = record.lines[module] = {}
        for line, contexts in coverage.contexts_by_lineno(measured).items():
            tests = {c.rpartition("|")[0] for c in contexts} & record.seconds.keys()
            if tests:
                lines[line] = sorted(tests)


def tests_of(mutant: Mutant, records: Sequence[Record], reach: Mapping[str, int]) -> list[tuple[float, str]]:
    """The tests that execute a mutant's lines, quick tests that execute few lines first.

    If none is recorded, these are all tests of the files that import the module.
    """
    places = [(mutant.module, line) for line in mutant.watched]
    tests = _executing(places, records)
    if not tests and mutant.at_import:
        tests = _executing(_uses_elsewhere(mutant), records)
    if not tests and mutant.at_import:
        every = {(mutant.module, line) for r in records for line in r.lines.get(mutant.module, ())}
        tests = _executing(every, records)
    if not tests:  # perhaps another process runs the line
        tests = {t: s for r in records if mutant.module in r.modules for t, s in r.seconds.items()}
    return sorted(
        ((seconds, test) for test, seconds in tests.items()),
        key=lambda pair: (pair[0] + 0.01) * reach[pair[1]],
    )


def _executing(places: Iterable[tuple[str, int]], records: Sequence[Record]) -> dict[str, float]:
    tests: dict[str, float] = {}
    for module, line in places:
        for record in records:
            found = record.lines.get(module, {}).get(line, ())
            tests |= {test: record.seconds[test] for test in found}
    return tests


def _uses_elsewhere(mutant: Mutant) -> list[tuple[str, int]]:
    """Lines of other modules that use the name defined on a mutant's line."""
    line = (ROOT / mutant.module).read_text(encoding="utf-8").splitlines()[mutant.line - 1]
    defined = re.match(r"\s*(\w+)\s*[:=]", line)
    if defined is None:
        return []
    name = re.compile(rf"\b{defined[1]}\b")
    return [
        (str(path.relative_to(ROOT)), number)
        for path in sorted((ROOT / "text_lloom").rglob("*.py"))
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if name.search(text)
    ]


def _reach(records: Iterable[Record]) -> Counter[str]:
    """How many lines each test executes."""
    return Counter(
        test for r in records for lines in r.lines.values() for tests in lines.values() for test in tests
    )


# ---- a worker: one copy of the tree, one mutant at a time


@cache
def _own_tree(base: Path) -> Path:
    tree = base.parent / f"tree-{os.getpid()}"
    shutil.copytree(base, tree, copy_function=shutil.copy2)
    return tree


def _preload() -> None:
    """Import packages that do not change, so that forked processes share them."""
    for name in _PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _record(test_file: str, modules: Sequence[str], base: Path) -> Record:
    return recorded(test_file, modules, _own_tree(base))


def judge(mutant: Mutant, tests: Sequence[tuple[float, str]], base: Path, limit: float) -> Verdict:
    """Run the tests of a mutant, the quick ones first, until one notices it."""
    tree = _own_tree(base)
    chosen: list[str] = []
    expected = 0.0
    for seconds, test in tests:
        if chosen and expected + seconds > limit:
            break
        chosen.append(test)
        expected += seconds
    verdict = partial(Verdict, mutant.module, mutant.line, mutant.operator, mutant.diff)
    if not chosen:
        return verdict(killed=False, by="", ran=0, executing=0)
    place = tree / mutant.module
    kept, stat = place.read_bytes(), place.stat()
    place.write_text(mutant.code, encoding="utf-8")
    try:
        outcomes = run_pytest(tree, ["-x", *chosen], 60 + 5 * expected, PYTHONDONTWRITEBYTECODE="1")
    finally:
        place.write_bytes(kept)
        os.utime(place, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    by = outcomes if isinstance(outcomes, str) else next(iter(outcomes.failed), "")
    return verdict(killed=bool(by), by=by, ran=len(chosen), executing=len(tests))


# ---- the run


def _matching(patterns: Iterable[str]) -> list[str]:
    """Files that match; a pattern that begins with `!` removes its matches."""
    files: dict[str, None] = {}
    for pattern in patterns:
        found = [
            str(p.relative_to(ROOT)) for p in sorted(ROOT.glob(pattern.removeprefix("!"))) if p.is_file()
        ]
        for name in found:
            files.pop(name, None) if pattern.startswith("!") else files.setdefault(name)
    return list(files)


def main() -> int:
    """Draw and run mutants, and print the table and the survivors; 1 if more live than `--at-most`."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sample", type=int, default=100)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--modules", nargs="+", default=MODULES, metavar="GLOB")
    options.add_argument(
        "--tests", nargs="+", default=TESTS, metavar="GLOB", help="test files; !GLOB takes out"
    )
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--seconds", type=float, default=20, help="of tests per mutant")
    options.add_argument("--at-most", type=float, default=0.15, help="share that may live")
    options.add_argument(
        "--again", type=Path, help="run those that lived in this result, same seed and sample"
    )
    options.add_argument("--list", action="store_true", help="only count the mutants of each module")
    given = options.parse_args()
    modules = _matching(given.modules)
    if not modules:
        options.error(f"--modules {' '.join(given.modules)} matches no file below {ROOT}")
    if given.list:
        for module in modules:
            print(f"{len(mutants_of(module)):5} {module}")
        return 0
    drawn = draw(modules, given.sample, given.seed)
    if given.again:
        lived = {x["diff"] for x in json.loads(given.again.read_text())["verdicts"] if not x["killed"]}
        drawn = [mutant for mutant in drawn if mutant.diff in lived]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lloom-mutants-") as folder:
        base = Path(folder) / "base"
        base.mkdir()
        copy_of_tree(base)
        with ProcessPoolExecutor(given.jobs, multiprocessing.get_context("fork"), _preload) as workers:
            waiting = [workers.submit(_record, f, modules, base) for f in _matching(given.tests)]
            records = [w.result() for w in waiting]
            reach = _reach(records)
            print(f"{len(drawn)} mutants; {time.monotonic() - began:.0f} s so far", flush=True)
            running = [
                workers.submit(judge, mutant, tests_of(mutant, records, reach), base, given.seconds)
                for mutant in drawn
            ]
            verdicts = []
            for future in as_completed(running):
                verdicts.append(verdict := future.result())
                if not verdict.killed:
                    print(f"\nlived ({verdict.ran} of {verdict.executing} tests ran), {verdict.operator}")
                    print(verdict.diff, flush=True)
    verdicts.sort(key=lambda v: (v.module, v.line))
    OUT.mkdir(parents=True, exist_ok=True)
    result = OUT / f"result-{given.seed}{'-again' if given.again else ''}.json"
    content = {"sample": given.sample, "seed": given.seed, "verdicts": [asdict(v) for v in verdicts]}
    result.write_text(json.dumps(content, indent=1))
    return _report(verdicts, given.at_most, time.monotonic() - began, result)


def _report(verdicts: Sequence[Verdict], at_most: float, seconds: float, result: Path) -> int:
    drawn, killed = Counter(v.module for v in verdicts), Counter(v.module for v in verdicts if v.killed)
    print(f"\n| {'module':42} | mutants | killed | lived |\n|{'-' * 44}|--------:|-------:|------:|")
    for module, count in sorted(drawn.items()):
        print(f"| {module:42} | {count:7} | {killed[module]:6} | {count - killed[module]:5} |")
    lived = len(verdicts) - killed.total()
    print(f"| {'all':42} | {len(verdicts):7} | {killed.total():6} | {lived:5} |")
    share = lived / max(1, len(verdicts))
    odd = Counter(v.by for v in verdicts if v.by in {"time-out", "crash"})
    print(
        f"\n{share:.1%} lived, in {seconds:.0f} s; {odd['time-out']} time-outs, {odd['crash']} crashes",
        end="; ",
    )
    print(result.relative_to(ROOT))
    return int(share > at_most)


if __name__ == "__main__":
    sys.exit(main())
