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
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.clients.environments import HOME, ROOT, command, install, version
from tests.clients.rows import ABSENT, PROGRAMS, Program
from tests.clients.servers import langgraph_dev, mixture_files, moa_serve
from tests.provider import Provider

TIMEOUT = 240.0
"""Seconds that one mode may take."""


def main(words: list[str]) -> int:
    """Run the modes whose program or name holds one of `words` (all without words); return the exit code."""
    wanted = [(program, mode) for program in PROGRAMS for mode in program.modes if _matches(program, mode, words)]
    if not wanted:
        print(f"no program or mode is named {' or '.join(words)}")
        return 2
    for name in sorted({program.environment for program, _ in wanted}):
        install(name)
    with _variables({program.server for program, _ in wanted}) as variables:
        rows = [_run(program, mode, variables) for program, mode in wanted]
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
            "NODE_FOLDER": str(HOME / "node"),
        }
        if "moa serve" in servers:
            variables["BASE"] = stack.enter_context(moa_serve(files))
        if "langgraph dev" in servers:
            (folder / "langgraph-dev").mkdir()
            variables["LANGGRAPH_URL"] = stack.enter_context(langgraph_dev(provider, folder / "langgraph-dev"))
        yield variables


def _run(program: Program, mode: str, variables: dict[str, str]) -> dict[str, Any]:
    begun = time.monotonic()
    code, output = _output(command(program, mode), _environment(variables))
    passed = code == 0 and output.rstrip().endswith("OK")
    row = {
        "program": program.package + (" (node)" if program.environment == "node" else ""),
        "mode": mode,
        "version": version(program),
        "server": program.server,
        "passed": passed,
        "seconds": round(time.monotonic() - begun, 1),
        "output": "" if passed else output[-2000:],
    }
    word = "ok  " if passed else "FAIL"
    print(f"{word} {row['program']} {row['version']} {mode} {row['seconds']} s", flush=True)
    if not passed:
        print(row["output"], flush=True)
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


def _output(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run a command; return its exit code and its output with standard error."""
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, env=environment, cwd=HOME, **options) as process:
        try:
            output, _ = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            output += f"\nno end after {TIMEOUT:g} s"
    return process.returncode, output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
