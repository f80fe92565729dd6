"""The mixtures of a server without settings: those that can answer here, starting with the default of `moa ask`."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from mcp import Client

from moa_graph import ConfigError
from moa_graph.cli import main
from moa_graph.cli.options import chosen
from moa_graph.models.local import locate
from moa_graph.serve.app import create_app
from moa_graph.serve.catalogue import Catalogue
from moa_graph.serve.mcp.tool import tool
from tests.provider import Provider
from tests.serving import Served, mixture

OPENAI, TOGETHER = "OPENAI_API_KEY", "TOGETHER_API_KEY"


@pytest.fixture(autouse=True)
def keyless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No keys, no .env above the working directory."""
    for name in (OPENAI, TOGETHER, "MOA_PRESET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the runtime, as if the extra `local` is not installed."""
    locate.cache_clear()
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    yield
    locate.cache_clear()


@pytest.mark.parametrize("keys", [(), (OPENAI,), (TOGETHER,), (OPENAI, TOGETHER)])
def test_the_first_is_what_the_command_takes_and_the_embedded_model_is_last(monkeypatch, keys):
    for name in keys:
        monkeypatch.setenv(name, "none")
    names = list(Catalogue.of().mixtures)
    assert names[0] == chosen().name and names[-1] == "local"
    assert len(names) > 1 or not keys


def test_the_owners_mixtures_come_first(monkeypatch, tmp_path):
    monkeypatch.setenv(OPENAI, "none")
    monkeypatch.setenv("MOA_PRESET", "local")
    assert list(Catalogue.of().mixtures)[:2] == ["local", "openai"]
    own = tmp_path / "own.yaml"
    own.write_text('proposers: ["local:smollm2"]\naggregator: "local:smollm2"\n')
    monkeypatch.setenv("MOA_PRESET", str(own))
    names = list(Catalogue.of().mixtures)
    assert names[0] == "own" and names[-1] == "local" and "openai" in names


def test_a_preset_of_the_users_own_is_the_default_everywhere(monkeypatch, tmp_path):
    monkeypatch.setenv("MOA_HOME", str(tmp_path / "home"))
    own = tmp_path / "home" / "presets" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text('proposers: ["local:smollm2"]\naggregator: "local:smollm2"\n')
    monkeypatch.setenv("MOA_PRESET", "mine")
    assert next(iter(Catalogue.of().mixtures)) == "mine"
    assert chosen().hash == Catalogue.of().mixtures["mine"].hash
    assert list(Catalogue.of(["mine"]).mixtures) == ["mine"]
    monkeypatch.delitem(sys.modules, "moa_graph.studio", raising=False)
    assert sorted(importlib.import_module("moa_graph.studio").GRAPHS) == ["moa", "moa_answer"]
    del sys.modules["moa_graph.studio"]


def test_a_preset_of_the_users_own_is_served_under_the_name_of_the_preset(monkeypatch, tmp_path):
    """`moa tune -o` writes a name of its own into the file, and `moa presets add FILE NAME` keeps it."""
    monkeypatch.setenv("MOA_HOME", str(tmp_path))
    (tmp_path / "presets").mkdir()
    own = tmp_path / "presets" / "mine.yaml"
    own.write_text('name: tuned-1\nproposers: ["local:smollm2"]\naggregator: "local:smollm2"\n')
    assert list(Catalogue.of(["mine"]).mixtures) == ["mine"]
    monkeypatch.setenv("MOA_PRESET", "mine")
    assert next(iter(Catalogue.of().mixtures)) == "mine"
    (tmp_path / "mine.yaml").write_text(own.read_text())
    assert list(Catalogue.of([tmp_path / "mine.yaml"]).mixtures) == ["tuned-1"]


@pytest.mark.parametrize("name", ["nope", "nope.yaml"])
@pytest.mark.parametrize("own", [False, True])
def test_a_wrong_default_is_named_by_its_variable(monkeypatch, tmp_path, name, own):
    monkeypatch.setenv("MOA_HOME", str(tmp_path))
    if own:
        (tmp_path / "presets").mkdir()
        (tmp_path / "presets" / "mine.yaml").touch()
    monkeypatch.setenv("MOA_PRESET", name)
    for read in (Catalogue.of, chosen):
        with pytest.raises(ConfigError, match=rf"^MOA_PRESET: .*{name}"):
            read()


async def test_page_and_tool_begin_with_the_first(monkeypatch):
    monkeypatch.setenv(OPENAI, "none")
    app = create_app(Catalogue.of())
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        assert (await http.get("/moa/mixtures")).json()["mixtures"][0]["name"] == "openai"
    asked = tool(Catalogue.of()).input_schema["properties"]["mixture"]
    assert asked["enum"][0] == "openai" and "the default is openai" in asked["description"]


async def test_the_tool_uses_the_first_mixture_by_default(provider: Provider):
    first, other = (mixture(provider, "one-tok=2", aggregator=f"say={text}") for text in ("first", "other"))
    with Served({"first": first, "other": other}) as served:
        async with Client(f"{served.url}/mcp") as client:
            result = await client.call_tool("moa_answer", {"question": "hi"})
    assert result.content[0].text == "first"


def test_an_embedded_model_that_is_not_installed_is_left_out_with_the_reason(monkeypatch, not_installed):
    monkeypatch.setenv(OPENAI, "none")
    catalogue = Catalogue.of()
    assert "local" not in catalogue.mixtures and "openai" in catalogue.mixtures
    assert catalogue.missing["local"] == ["the extra `local` and its model"]
    assert catalogue.missing["together"] == [TOGETHER]


def test_servers_without_address_and_missing_packages_are_left_out_with_the_reason(monkeypatch):
    """One preset whose package is missing must not stop the server."""
    monkeypatch.delenv("MOA_PRESET", raising=False)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "langchain_ollama" else found(name))
    catalogue = Catalogue.of()
    assert list(catalogue.mixtures) == ["local"]
    assert catalogue.missing["ollama"] == ["the extra `ollama`"]
    assert catalogue.missing["lmstudio"] == ["to be requested by name, with its own server running"]


def test_a_server_by_address_is_offered_when_it_is_named(monkeypatch):
    assert list(Catalogue.of(["lmstudio"]).mixtures) == ["lmstudio"]
    monkeypatch.setenv("MOA_PRESET", "lmstudio")
    assert next(iter(Catalogue.of().mixtures)) == "lmstudio"


def test_with_nothing_to_serve_it_lists_what_each_needs(not_installed, capsys):
    with pytest.raises(ConfigError, match=r"`local` needs the extra `local`.*`openai` needs OPENAI_API_KEY"):
        Catalogue.of()
    assert main(["serve", "--preset", "local"]) == 3
    assert "pip install 'moa_graph[local]'" in capsys.readouterr().err


def test_mounted_with_nothing_to_serve_the_server_still_starts(monkeypatch, not_installed, caplog):
    """Under the Agent Server the graphs can be drawn without any model."""
    name = "moa_graph.serve.mounted"
    monkeypatch.delenv("MOA_PRESET", raising=False)
    monkeypatch.delenv("MOA_SERVE", raising=False)
    monkeypatch.delitem(sys.modules, name, raising=False)
    assert importlib.import_module(name).app.routes == []
    assert "the endpoint and the page are not available: nothing to serve" in caplog.text
    monkeypatch.setenv("MOA_SERVE", "local")
    with pytest.raises(ConfigError, match="not installed"):
        importlib.reload(sys.modules[name])
    del sys.modules[name]
