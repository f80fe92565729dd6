"""langgraph.json without MOA_PRESET: the keys that are set decide, and the log says what is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from langgraph_sdk import get_client

from tests.langgraph_dev import ROOT, LangGraphDev
from tests.provider import Provider

PRINT = "from moa_graph.studio import GRAPHS; print(*GRAPHS['moa'].nodes)"


def studio(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Import the graphs in a process whose only keys are `variables`, in a folder without `.env`."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY") and "MOA" not in name}
    code = f"import logging; logging.basicConfig(level=20); {PRINT}"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.parametrize(("key", "model"), [("OPENAI_API_KEY", "gpt"), ("OPENROUTER_API_KEY", "p0-")])
def test_one_key_chooses_a_preset_and_the_log_names_it(tmp_path: Path, key: str, model: str) -> None:
    done = studio(tmp_path, **{key: "sk-none"})
    assert model in done.stdout and "p0-plain" not in done.stdout
    assert f"{key} is set" in done.stderr and "sk-none" not in done.stderr


def test_without_a_key_the_log_says_what_is_missing(tmp_path: Path) -> None:
    done = studio(tmp_path)
    assert "p0-plain" in done.stdout
    assert "WARNING" in done.stderr and "no provider key is set" in done.stderr and "MOA_PRESET" in done.stderr


def test_a_key_that_no_preset_uses_is_named(tmp_path: Path) -> None:
    assert "COHERE_API_KEY is set, but no preset uses it" in studio(tmp_path, COHERE_API_KEY="x").stderr


@pytest.mark.slow
async def test_the_server_answers_with_one_key_only(tmp_path: Path, provider: Provider) -> None:
    """OpenRouter's address is replaced by the loopback provider's, as its own client allows."""
    only = {"MOA_PRESET": "", "OPENROUTER_API_KEY": "sk-none", "OPENROUTER_API_BASE": provider.url}
    other = dict.fromkeys(("OPENAI_API_KEY", "TOGETHER_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY"), "")
    with LangGraphDev({}, folder=tmp_path, env={**other, **only}) as server:
        client = get_client(url=server.url)
        ask = {"messages": [{"role": "user", "content": "What is it?"}]}
        result = await client.runs.wait(None, "moa", input=ask)
        await client.http.client.aclose()
    assert {draft["status"] for draft in result["drafts"]} == {"ok"} and len(result["drafts"]) > 1
    assert result["messages"][-1]["content"]
