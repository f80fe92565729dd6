"""The servers that the client programs call: `moa serve` and `langgraph dev`, over the loopback provider."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from tests.langgraph_dev import ANSWER, ROOT, LangGraphDev, scripted
from tests.provider import Provider

__all__ = ["calling", "langgraph_dev", "mixture_file", "mixture_files", "moa_serve"]

START_SECONDS = 60.0


def mixture_files(provider: Provider, folder: Path) -> dict[str, Path]:
    """Write the mixtures that `moa serve` offers, and return their files by name.

    `text` answers, `tools` calls the first tool that it is offered, the agents' mixtures call the shell tool of that
    agent, and `failing` has no draft that counts.
    """
    shell = "echo tool-ran-$((6*7))"
    aggregators = {
        "text": f"agg-say={_escaped(ANSWER)}",
        "tools": "agg",
        "codex": calling("exec_command", {"cmd": shell}),
        "claude": calling("Bash", {"command": shell, "description": "x"}),
        "opencode": calling("bash", {"command": shell, "description": "x"}),
        "continue": calling("Bash", {"command": shell}),
        "qwen": calling("run_shell_command", {"command": shell, "description": "x", "is_background": False}),
    }
    files = {name: mixture_file(provider, folder, name, aggregator) for name, aggregator in aggregators.items()}
    return {**files, "failing": mixture_file(provider, folder, "failing", "agg", drafts=("one-err500", "two-err500"))}


def mixture_file(
    provider: Provider,
    folder: Path,
    name: str,
    aggregator: str,
    *,
    drafts: tuple[str, ...] = ("one-say=draft%20one", "two-say=draft%20two"),
) -> Path:
    """Write a mixture of the loopback provider's models; return its file."""
    models = [{"model": f"openai:{model}", "base_url": provider.url} for model in (*drafts, aggregator)]
    fields = {"name": name, "max_attempts": 1, "proposers": models[:-1], "aggregator": models[-1]}
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(fields), encoding="utf-8")
    return file


def calling(name: str, arguments: dict[str, Any], answer: str = ANSWER) -> str:
    """Return the name of a loopback model that calls that tool once and then answers."""
    return f"call={_escaped(json.dumps({'name': name, 'arguments': arguments}))}-say={_escaped(answer)}"


def _escaped(text: str) -> str:
    """Percent-encode a text for the name of a loopback model, whose parts `-` separates."""
    text = quote(text, safe="")
    for sign in "-_.":
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text


@contextmanager
def moa_serve(files: dict[str, Path]) -> Iterator[str]:
    """Run the command `moa serve` on a free port; yield its address without a path."""
    options = [part for file in files.values() for part in ("--file", str(file))]
    command = [sys.executable, "-m", "moa_graph", "serve", "--port", "0", *options]
    own = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=own) as process:
        try:
            yield _address(process)
        finally:
            process.terminate()


def _address(process: subprocess.Popen[str]) -> str:
    """Return the address from the server's first line; keep reading, so that its log never blocks it."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, name="stderr of moa serve", daemon=True).start()
    first = lines.get(timeout=START_SECONDS)
    word, _, address = first.partition(" ")
    if word != "page":
        raise RuntimeError(f"moa serve did not start: {first}")
    return address.strip().removesuffix("/moa")


@contextmanager
def langgraph_dev(provider: Provider, folder: Path) -> Iterator[str]:
    """Run `langgraph dev` with the repository's langgraph.json; yield its address."""
    fields: dict[str, Any] = scripted(provider)
    with LangGraphDev(fields, folder=folder) as server:
        yield server.url
