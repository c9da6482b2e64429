"""The house rules of the code: what an import loads, layers, public names, documentation, the README."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import grimp
import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

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
MODULES = ["text_lloom", *sorted(module.name for module in walk_packages([str(PACKAGE)], "text_lloom."))]


@cache
def trees() -> dict[str, ast.Module]:
    """The parsed source of each module."""

    def source(module: str) -> str:
        path = ROOT.joinpath(*module.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        return file.read_text(encoding="utf-8")

    return {module: ast.parse(source(module)) for module in MODULES}


@cache
def imports() -> list[tuple[str, ast.ImportFrom]]:
    """Each `from … import …` of the package, with the module that holds it."""
    nodes = ((module, node) for module, tree in trees().items() for node in ast.walk(tree))
    return [(module, node) for module, node in nodes if isinstance(node, ast.ImportFrom)]


def assigned_names(tree: ast.Module) -> Iterator[str]:
    """Names that a module defines at its top level."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def public_members() -> Iterator[tuple[str, Any]]:
    """The classes and functions that modules define and list in `__all__`, with their full names."""
    for module in MODULES:
        loaded = importlib.import_module(module)
        for name in getattr(loaded, "__all__", ()):
            value = getattr(loaded, name)
            is_own = getattr(value, "__module__", None) == module
            if is_own and (inspect.isclass(value) or inspect.isfunction(value)):
                yield f"{module}.{name}", value


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


# --- layers --------------------------------------------------------------------------------------------


def test_imports_go_down_the_layers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contracts are in `pyproject.toml`; `lint-imports` shows the chains of imports that break them."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert lint_imports(no_cache=True) == EXIT_STATUS_SUCCESS


def test_no_imports_are_relative() -> None:
    offenders = [f"{module}:{node.lineno}" for module, node in imports() if node.level]
    assert not offenders, "\n".join(offenders)


def test_no_module_imports_itself_through_others() -> None:
    """Imports for type checkers alone do not count."""
    graph = grimp.build_graph("text_lloom", exclude_type_checking_imports=True, cache_dir=None)
    needs = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail("Each of these modules is imported by the next one: " + ", ".join(error.args[1]))


# --- public names --------------------------------------------------------------------------------------


def test_all_is_there_sorted_and_complete() -> None:
    """`__all__` lists what other modules import, constants first, then classes, then functions."""
    wanted: dict[str, set[str]] = {}
    for _, node in imports():
        names = (alias.name for alias in node.names if not alias.name.startswith("_"))
        wanted.setdefault(str(node.module), set()).update(names)
    offenders = []
    for module, tree in trees().items():
        loaded = importlib.import_module(module)
        is_package = hasattr(loaded, "__path__")
        if is_package and len(tree.body) <= 1:
            if hasattr(loaded, "__all__"):
                offenders.append(f"{module}: __all__ in an empty package")
            continue
        listed = list(getattr(loaded, "__all__", ()))
        if listed != sorted(set(listed), key=sort_key):
            offenders.append(f"{module}: __all__ should be {sorted(set(listed), key=sort_key)}")
        offenders += [
            f"{module}: no {name}, though in __all__" for name in listed if not hasattr(loaded, name)
        ]
        if not hasattr(loaded, "__all__"):
            offenders.append(f"{module}: no __all__")
        elif not is_package:
            lacking = wanted.get(module, set()) & set(assigned_names(tree)) - set(listed)
            offenders += [
                f"{module}: other modules import {name}, not in __all__" for name in sorted(lacking)
            ]
    assert not offenders, "\n".join(offenders)


def test_the_package_gives_its_public_names() -> None:
    assert text_lloom.__all__ == ["Codebook", "Concept", "__version__", "lloom", "load"]
    from text_lloom.workbench import lloom, load

    assert (text_lloom.lloom, text_lloom.load) == (lloom, load)
    assert re.fullmatch(r"\d+\.\d+\.\d+[\w.]*", text_lloom.__version__)
    with pytest.raises(AttributeError, match="no attribute 'loom'"):
        _ = text_lloom.loom


# --- documentation -------------------------------------------------------------------------------------


def test_what_is_public_is_documented() -> None:
    loaded = {module: importlib.import_module(module) for module in MODULES}
    missing = [
        f"{module}: the first line" for module in MODULES if not (loaded[module].__doc__ or "").strip()
    ]
    for name, value in public_members():
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
    assert not missing, "\n".join(missing)


def documented_arguments(doc: str) -> list[str]:
    """Names in the `Args:` section of a docstring."""
    section = re.search(r"^Args:\n((?:[ ]{4}.*\n|\n)+)", f"{doc}\n", re.MULTILINE)
    return re.findall(r"^ {4}\*{0,2}(\w+):", section[1], re.MULTILINE) if section else []


def test_argument_sections_follow_the_signature() -> None:
    offenders = []
    for name, value in public_members():
        for member in [value, *vars(value).values()] if inspect.isclass(value) else [value]:
            documented = documented_arguments(inspect.getdoc(member) or "")
            if inspect.isfunction(member) and documented:
                arguments = [p for p in inspect.signature(member).parameters if p not in ("self", "cls")]
                if documented != arguments:
                    offenders.append(f"{name}: {member.__qualname__} documents {documented}, not {arguments}")
    assert not offenders, "\n".join(offenders)


def shell_blocks(text: str) -> list[str]:
    return [block.strip() for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]


def test_the_readme_opens_with_the_demo_and_the_tests() -> None:
    blocks = shell_blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(blocks) == 2
    demo, tests = blocks
    assert demo.endswith("lloom demo")
    assert tests.endswith("python -m pytest -n 2 --dist loadfile")
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
