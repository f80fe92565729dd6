"""The stock langgraph.json as it is deployed: an environment with what it names, and one provider's key.

There is no Docker here. `langgraph dockerfile` shows what an image would contain; the rest is what the image's
instructions say, in a new environment: a copy of the clone, its dependencies, and the Agent Server.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_client

from tests.aegra import Aegra, Missing
from tests.langgraph_dev import ServedFolder
from tests.packaging.pythons import environment, install
from tests.provider import Provider

ROOT = Path(__file__).parents[2]
ASK: Any = {"messages": [{"role": "user", "content": "What is it?"}]}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files that a clone has."""
    folder = tmp_path_factory.mktemp("clone") / "moa_graph"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def installed(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of a new environment: what langgraph.json names, the Agent Server, and nothing else."""
    python = environment(sys.executable, tmp_path_factory.mktemp("image") / "venv")
    named = json.loads((clone / "langgraph.json").read_text())["dependencies"]
    install(python, *(str(clone / each) for each in named), "langgraph-cli[inmem]")
    yield python.parent


def test_the_image_holds_the_package_and_both_graphs(clone: Path, tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    langgraph = str(Path(sys.executable).parent / "langgraph")
    subprocess.run([langgraph, "dockerfile", str(file)], cwd=clone, check=True, capture_output=True)
    text = file.read_text()
    assert re.search(r"^FROM langchain/langgraph-api:3\.11", text, re.M)
    added = re.search(r"^ADD \. (/deps/\S+)", text, re.M)
    assert added and re.search(r"^RUN .*pip install .*-e ", text, re.M | re.S)
    graphs = json.loads(str(re.search(r"^ENV LANGSERVE_GRAPHS='(.*)'", text, re.M)[1]))  # type: ignore[index]
    for name in ("moa", "moa_answer"):
        place = graphs[name]["path"] if isinstance(graphs[name], dict) else graphs[name]
        path, _, variable = place.partition(":")
        assert path == f"{added[1]}/moa_graph/studio.py" and variable == name
    assert "moa_graph.serve.mounted:app" in text


def served(installed: Path, clone: Path, tmp_path: Path, **env: str) -> ServedFolder:
    command = [str(installed / "langgraph"), "dev", "--no-browser", "--no-reload", "--port", "{port}"]
    return ServedFolder(command, folder=clone, log=tmp_path / "server.log", env=env)


async def test_it_answers_with_only_openais_key(
    installed: Path, clone: Path, tmp_path: Path, provider: Provider
) -> None:
    """OpenAI's address is replaced by the loopback provider's, as OpenAI's own client allows."""
    only = {"OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": provider.url}
    with served(installed, clone, tmp_path, **only) as server:
        async with get_client(url=server.url) as client:
            for graph in ("moa", "moa_answer"):
                result: Any = await client.runs.wait(None, graph, input=ASK)
                assert result["messages"][-1]["content"]
            full: Any = await client.runs.wait(None, "moa", input=ASK)
    assert [draft["status"] for draft in full["drafts"]] == ["ok"] * 3
    assert {request.headers["authorization"] for request in provider.requests()} == {"Bearer sk-none"}
    assert "OPENAI_API_KEY is set" in server.log.read_text()


async def test_without_a_key_it_says_what_is_missing(installed: Path, clone: Path, tmp_path: Path) -> None:
    with served(installed, clone, tmp_path) as server:
        async with get_client(url=server.url) as client:
            with pytest.raises(Exception, match="OPENAI_API_KEY"):
                await client.runs.wait(None, "moa", input=ASK)
    assert "no provider key is set" in server.log.read_text()


async def test_an_open_agent_server_answers_with_only_openais_key(provider: Provider) -> None:
    try:
        server = Aegra(
            {}, workers=1, env={"MOA_PRESET": "", "OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": provider.url}
        )
    except Missing as missing:
        pytest.skip(str(missing))
    with server:
        async with get_client(url=server.url) as client:
            thread = (await client.threads.create())["thread_id"]
            result: Any = await client.runs.wait(thread, "moa", input=ASK)
    assert [draft["status"] for draft in result["drafts"]] == ["ok"] * 3


async def test_make_studio_starts_the_server_in_a_clone(clone: Path, tmp_path: Path, provider: Provider) -> None:
    """The environment of this process stands for the one that the target installs."""
    (clone / ".venv").mkdir()
    (clone / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (clone / ".venv" / "studio.stamp").touch()
    planned = subprocess.run(
        ["make", "-n", "-W", "pyproject.toml", "studio"], cwd=clone, capture_output=True, text=True, check=True
    ).stdout
    assert "'.[local,serve]' 'langgraph-cli[inmem]" in planned and "langgraph dev --port 2024" in planned
    only = {"OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": provider.url, "BROWSER": "true", "PYTHONPATH": str(clone)}
    command = ["make", "studio", "PORT={port}"]
    with ServedFolder(command, folder=clone, log=tmp_path / "server.log", env=only) as server:
        async with get_client(url=server.url) as client:
            found = {each["graph_id"]: each for each in await client.assistants.search()}
            assert found.keys() == {"moa", "moa_answer"}
            for assistant in found.values():
                schemas = await client.assistants.get_schemas(assistant["assistant_id"])
                assert "messages" in schemas["input_schema"]["properties"]
                assert "layers" in schemas["context_schema"]["properties"]
            result: Any = await client.runs.wait(None, "moa", input=ASK)
    assert len(result["drafts"]) == 3
