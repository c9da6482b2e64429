"""The house rules of the code: what an import loads, floors, public names, documentation, the README."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import text_lloom

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "text_lloom"
HEAVY = [
    "umap",
    "hdbscan",
    "numba",
    "sklearn",
    "openTSNE",
    "openai",
    "anywidget",
    "ipywidgets",
    "tiktoken",
    "rich",
    "jsonschema",
    "aiohttp",
    "anthropic",
    "google.genai",
    "any_llm",
    "litellm",
    "torch",
    "transformers",
    "outlines_core",
]
MODULES = sorted(
    module.name for module in pkgutil.walk_packages([str(PACKAGE)], "text_lloom.") if module.name
)
FLOORS = [
    {"errors", "concept", "corpus", "labels", "quotes", "scores", "tasks"},
    {"llm", "local"},
    {"analysis"},
    {"operators"},
    {"storage", "widget"},
    {"session"},
    {"workbench", "concept_induction", "testing"},
    {"cli"},
]


def floor_of(module: str) -> int:
    room = module.split(".")[1]
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def imports_of(module: str) -> Iterator[tuple[str, int]]:
    """Modules of the package that a module imports anywhere, with the line."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports relatively"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield (name if name in MODULES else str(node.module)), node.lineno


def assigned_names(tree: ast.Module) -> Iterator[str]:
    """Names that a module defines at its top level."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


@cache
def tree_of(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def names_from(module: str, other: str) -> Iterator[str]:
    """Names of a module that another one imports."""
    for node in ast.walk(tree_of(other)):
        if isinstance(node, ast.ImportFrom) and node.module == module:
            yield from (alias.name for alias in node.names)


def sort_key(name: str) -> tuple[int, str]:
    """Constants, classes, functions; each by name, as `__all__` is sorted here."""
    if name.isupper():
        return 0, name
    return (1, name) if name[:1].isupper() else (2, name)


# --- what an import loads ------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["text_lloom", "text_lloom.workbench", "text_lloom.cli"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
        f"print('pandas' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded, with_pandas = ran.stdout.splitlines()
    assert loaded == "[]"
    assert with_pandas == "False", "pandas is loaded when a frame comes in"


# --- floors --------------------------------------------------------------------------------------------


def test_every_room_is_on_a_floor() -> None:
    rooms = {module.split(".")[1] for module in MODULES} - {"data"}
    assert rooms == set().union(*FLOORS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module: str) -> None:
    own = floor_of(module)
    up = [
        f"line {line}: {imported}"
        for imported, line in imports_of(module)
        if imported.startswith("text_lloom.") and floor_of(imported) > own
    ]
    assert up == []


def test_rooms_import_each_other_in_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        room = module.split(".")[1]
        found = {name.split(".")[1] for name, _ in imports_of(module) if name.startswith("text_lloom.")}
        graph.setdefault(room, set()).update(found - {room})
    while free := [room for room, needs in graph.items() if not needs]:
        for room in free:
            del graph[room]
        for needs in graph.values():
            needs.difference_update(free)
    assert graph == {}


# --- public names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["text_lloom", *MODULES])
def test_all_is_there_sorted_and_complete(module: str) -> None:
    loaded = importlib.import_module(module)
    path = Path(str(loaded.__file__))
    tree = tree_of(module)
    if path.name == "__init__.py" and len(tree.body) <= 1:
        assert not hasattr(loaded, "__all__")
        return
    listed = list(loaded.__all__)
    assert listed == sorted(set(listed), key=sort_key)
    assert all(hasattr(loaded, name) for name in listed)
    wanted = {name for other in MODULES for name in names_from(module, other) if not name.startswith("_")}
    if path.name != "__init__.py":
        assert wanted & set(assigned_names(tree)) <= set(listed), "other rooms import what is not public"


def test_the_package_gives_its_public_names() -> None:
    assert text_lloom.__all__ == ["Codebook", "Concept", "__version__", "lloom", "load"]
    from text_lloom.workbench import lloom, load

    assert (text_lloom.lloom, text_lloom.load) == (lloom, load)
    assert re.fullmatch(r"\d+\.\d+\.\d+[\w.]*", text_lloom.__version__)
    with pytest.raises(AttributeError, match="no attribute 'loom'"):
        _ = text_lloom.loom


# --- documentation -------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["text_lloom", *MODULES])
def test_what_is_public_is_documented(module: str) -> None:
    loaded = importlib.import_module(module)
    assert (loaded.__doc__ or "").strip(), "the first line says what lives here"
    missing = []
    for name in getattr(loaded, "__all__", ()):
        value = getattr(loaded, name)
        if getattr(value, "__module__", None) != module or not (
            inspect.isclass(value) or inspect.isfunction(value)
        ):
            continue
        if not (value.__doc__ or "").strip():
            missing.append(name)
        if inspect.isclass(value):
            missing += [
                f"{name}.{attribute}"
                for attribute, member in vars(value).items()
                if not attribute.startswith("_")
                and (inspect.isfunction(member) or isinstance(member, (property, classmethod)))
                and not inspect.getdoc(getattr(value, attribute))
            ]
    assert missing == []


def documented_arguments(doc: str) -> list[str]:
    """Names in the `Args:` section of a docstring."""
    section = re.search(r"^Args:\n((?:[ ]{4}.*\n|\n)+)", f"{doc}\n", re.MULTILINE)
    return re.findall(r"^ {4}\*{0,2}(\w+):", section[1], re.MULTILINE) if section else []


@pytest.mark.parametrize("module", MODULES)
def test_argument_sections_follow_the_signature(module: str) -> None:
    loaded = importlib.import_module(module)
    for name in getattr(loaded, "__all__", ()):
        value = getattr(loaded, name)
        members = [value, *vars(value).values()] if inspect.isclass(value) else [value]
        for member in members:
            documented = documented_arguments(inspect.getdoc(member) or "")
            if inspect.isfunction(member) and documented:
                arguments = [p for p in inspect.signature(member).parameters if p not in ("self", "cls")]
                assert documented == arguments, f"{module}.{name}: {member.__qualname__}"


def shell_blocks(text: str) -> list[str]:
    return [block.strip() for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]


def test_the_readme_opens_with_the_demo_and_the_tests() -> None:
    blocks = shell_blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(blocks) == 2
    demo, tests = blocks
    assert demo.endswith("lloom demo")
    assert tests.endswith("python -m pytest")
    assert all("\n" not in block for block in blocks)
    assert tests in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_links_of_the_documentation_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_no_page_is_half_merged() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *PACKAGE.rglob("*.py")]
    marks = re.compile(r"^(<{7}|>{7}|\|{7})( |$)|^={7}$", re.MULTILINE)
    assert [page.name for page in pages if marks.search(page.read_text(encoding="utf-8"))] == []
