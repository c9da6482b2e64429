"""Providers that other packages add, through the entry point group `text_lloom.providers`."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from typer.testing import CliRunner

from text_lloom.cli import app
from text_lloom.errors import InputError, ModelSetupError, UnknownName
from text_lloom.llm import OpenAIEmbedModel, OpenAIModel, embedder_from, model_from
from text_lloom.llm.providers.registry import all_providers, capability_table, plugin_providers

ACME = """
    from text_lloom.llm.providers.table import Capabilities, CompatibleServer

    PROVIDER = CompatibleServer(
        "acme",
        "Acme",
        Capabilities(structured="strict", streaming=True, tested=("recorded wire",)),
        url="https://api.acme.example/v1",
        key_variables=("ACME_API_KEY",),
        example="acme-1",
    )
"""
TWO = """
    from text_lloom.llm import Model
    from text_lloom.llm.providers.table import Capabilities, Provider

    class Parrot(Model):
        def complete(self, request):
            return request.prompt

    def providers():
        can, model = Capabilities(tested=("stand-in",)), f"{__name__}:Parrot"
        return [
            Provider("parrot", "Parrot", can, model=model, options={"cost": 0}, example="grey"),
            Provider("needy", "Needy", can, model=model, packages=("a_package_nobody_has",)),
        ]
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package with one module and one entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin_providers.cache_clear()
    installed: list[str] = []

    def install(package: str, source: str, entry_point: str) -> None:
        installed.append(package)
        (tmp_path / f"{package}.py").write_text(dedent(source), encoding="utf-8")
        about = tmp_path / f"{package}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[text_lloom.providers]\n{package} = {entry_point}\n")

    yield install
    plugin_providers.cache_clear()
    for package in installed:
        sys.modules.pop(package, None)


def test_a_server_of_another_package_is_used_by_its_prefix(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_API_KEY", "acme-key")
    install("lloom_acme", ACME, "lloom_acme:PROVIDER")
    model = model_from("acme:acme-1", temperature=0.5)
    assert isinstance(model, OpenAIModel)
    assert (model.name, model.base_url, model.api_key) == (
        "acme-1",
        "https://api.acme.example/v1",
        "acme-key",
    )
    assert isinstance(embedder_from("Acme:vectors"), OpenAIEmbedModel)
    with pytest.raises(InputError, match="such as 'acme:acme-1'"):
        model_from("acme")
    with pytest.raises(UnknownName, match="Did you mean 'acme'"):
        model_from("acmee:acme-1")


def test_a_plugin_is_listed_and_says_who_tested_it(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_API_KEY", "acme-key")
    install("lloom_acme", ACME, "lloom_acme:PROVIDER")
    row = capability_table(all_providers()).splitlines()[-1]
    assert row == "| Acme | `acme:…` | yes | strict | yes | yes | – | yes | by its package |"
    shown = CliRunner().invoke(app, ["models"])
    assert shown.exit_code == 0
    [line] = [line for line in shown.stdout.splitlines() if line.startswith("acme:<name>")]
    assert line.endswith("ready: ACME_API_KEY is set; from lloom_acme")


def test_a_function_may_give_several_providers(install: Install) -> None:
    install("lloom_two", TWO, "lloom_two:providers")
    model = model_from("parrot:grey")
    assert model.sync.call("Which bus is late?", cache=False).text == "Which bus is late?"  # type: ignore[union-attr]
    with pytest.raises(InputError, match="'parrot': this provider has no embedding models"):
        embedder_from("parrot:grey")
    with pytest.raises(ModelSetupError, match="Run: pip install a_package_nobody_has"):
        model_from("needy:x")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        pytest.param("import a_package_nobody_has", "No module named 'a_package_nobody_has'", id="import"),
        pytest.param("PROVIDER = 'acme'", "gives 'acme', but a Provider", id="not-a-provider"),
        pytest.param("def PROVIDER(): raise ValueError('no')", "ValueError: no", id="function-fails"),
        pytest.param(ACME.replace('"acme"', '"Acme_1"'), "'Acme_1' must be lower case", id="prefix"),
        pytest.param(ACME.replace('tested=("recorded wire",)', ""), "'tested'", id="untested"),
        pytest.param(ACME.replace('"acme"', '"groq"'), "text_lloom has a provider of that name", id="taken"),
    ],
)
def test_a_faulty_plugin_is_named_and_the_others_work(install: Install, source: str, told: str) -> None:
    install("a_faulty", source, "a_faulty:PROVIDER")
    install("lloom_acme", ACME, "lloom_acme:PROVIDER")
    with pytest.warns(UserWarning, match=told) as caught:
        assert model_from("acme:acme-1", api_key="key").label == "acme-1"
    assert "of the package a_faulty is left out" in str(caught[0].message)
    assert len(caught) == 1
    groq = [provider for provider in all_providers() if provider.prefix == "groq"]
    assert [provider.title for provider in groq] == ["Groq"]


def test_the_first_of_two_plugins_keeps_the_prefix(install: Install) -> None:
    install("first", ACME, "first:PROVIDER")
    install("second", ACME, "second:PROVIDER")
    with pytest.warns(UserWarning, match="'acme' of the package second is left out: first has a provider"):
        found = plugin_providers()
    assert [provider.package for provider in found] == ["first"]


def test_no_plugin_is_loaded_before_it_is_needed(install: Install, tmp_path: Path) -> None:
    install("lloom_acme", ACME, "lloom_acme:PROVIDER")
    code = """
        import sys
        from text_lloom.llm import model_from
        model_from("openai:gpt-4o-mini", api_key="key")
        assert "lloom_acme" not in sys.modules
        model_from("acme:acme-1", api_key="key")
        assert "lloom_acme" in sys.modules
    """
    path = [str(tmp_path), *sys.path]
    run = f"import sys; sys.path[:] = {path!r}\n{dedent(code)}"
    subprocess.run([sys.executable, "-c", run], check=True, timeout=120)


def test_without_plugins_nothing_is_said() -> None:
    plugin_providers.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plugin_providers() == ()
