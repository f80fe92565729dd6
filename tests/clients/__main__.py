"""Run third-party programs against `moa serve` and `langgraph dev`; write reports/clients.json.

The programs come from PyPI and npm, each group in its own environment under `.clients/`, made once. After the
installation, all traffic goes to loopback.

    python -m tests.clients                 everything
    python -m tests.clients openai codex    programs and modes whose name holds one of the words
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.clients.environments import HOME, ROOT, command, install, version
from tests.clients.rows import ABSENT, NODE_PACKAGES, PROGRAMS, Program
from tests.clients.servers import langgraph_dev, mixture_files, moa_serve
from tests.provider import Provider

SECONDS = 120.0
"""Seconds that one mode may take; a program has as much again to start."""


def main(words: list[str]) -> int:
    """Run the modes whose program or name holds one of `words` (all without words); return the exit code."""
    found = [(program, [mode for mode in program.modes if _matches(program, mode, words)]) for program in PROGRAMS]
    wanted = [(program, modes) for program, modes in found if modes]
    if not wanted:
        print(f"no program or mode is named {' or '.join(words)}")
        return 2
    for name in sorted({program.environment for program, _ in wanted}):
        install(name)
    with _variables({program.server for program, _ in wanted}) as variables:
        rows = [row for program, modes in wanted for row in _run(program, modes, variables)]
    failed = sum(not row["passed"] for row in rows)
    counts = {"programs": len(rows), "passed": len(rows) - failed, "failed": failed}
    packages = len({row["program"] for row in rows})
    if not words:
        _write({**counts, "packages": packages, "absent": ABSENT, "rows": rows})
    print(f"{counts['passed']} of {counts['programs']} modes of {packages} packages passed, {failed} failed")
    return 1 if failed else 0


def _write(report: dict[str, Any]) -> None:
    target = ROOT / "reports" / "clients.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _matches(program: Program, mode: str, words: list[str]) -> bool:
    name = f"{program.package} {program.environment} {program.file} {mode}"
    return not words or any(word in name for word in words)


@contextlib.contextmanager
def _variables(servers: set[str]) -> Iterator[dict[str, str]]:
    """Start what the programs call; yield the environment variables that tell them where it is."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="moa-clients-")))
        provider = stack.enter_context(Provider())
        files = mixture_files(provider, folder)
        stdio = [sys.executable, "-m", "moa_graph", "mcp", "--file", str(files["text"])]
        variables = {
            "PROVIDER": provider.url,
            "MIXTURE": str(files["text"]),
            "MOA_MCP": json.dumps({"command": stdio, "env": {"PYTHONPATH": str(ROOT)}}),
        }
        if "moa serve" in servers:
            variables["BASE"] = stack.enter_context(moa_serve(files))
        if "langgraph dev" in servers:
            (folder / "langgraph-dev").mkdir()
            variables["LANGGRAPH_URL"] = stack.enter_context(langgraph_dev(provider, folder / "langgraph-dev"))
        yield variables


def _run(program: Program, modes: list[str], variables: dict[str, str]) -> list[dict[str, Any]]:
    """Run modes of a program in one process; return a row for each."""
    output = _output(command(program, modes), _environment(variables), SECONDS * (1 + len(modes)))
    told = {row["mode"]: row for line in output.splitlines() if (row := _row(line))}
    about = {
        "program": program.package + (" (node)" if program.environment in NODE_PACKAGES else ""),
        "version": version(program),
        "server": program.server,
    }
    rows = []
    for mode in modes:
        row = {**about, **told.get(mode, {"mode": mode, "passed": False, "seconds": None, "output": output[-3000:]})}
        rows.append(row)
        word = "ok  " if row["passed"] else "FAIL"
        print(f"{word} {row['program']} {row['version']} {mode} {row['seconds']} s", flush=True)
        if not row["passed"]:
            print(row["output"], flush=True)
    return rows


def _row(line: str) -> dict[str, Any] | None:
    """Return the row that a line of a program's output holds, None for other lines."""
    if not line.startswith('{"mode":'):
        return None
    row: dict[str, Any] = json.loads(line)
    return row


def _environment(variables: dict[str, str]) -> dict[str, str]:
    """Return the programs' environment: without keys, without tracing, without telemetry."""
    secret = ("_API_KEY", "_TOKEN")
    foreign = ("LANGSMITH", "LANGCHAIN", "MOA_", "PYTHONPATH")
    own = {
        name: value for name, value in os.environ.items() if not name.endswith(secret) and not name.startswith(foreign)
    }
    return {
        **own,
        **variables,
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        "ANONYMIZED_TELEMETRY": "False",
        "DEEPEVAL_TELEMETRY_OPT_OUT": "YES",
        "AGNO_TELEMETRY": "false",
    }


def _output(command: list[str], environment: dict[str, str], seconds: float) -> str:
    """Run a command; return its output with standard error."""
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, env=environment, cwd=HOME, **options) as process:
        try:
            return process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            return process.communicate()[0] + f"\nno end after {seconds:g} s"


if __name__ == "__main__":
    # The servers that were started end with this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
