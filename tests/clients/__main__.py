"""Run third-party programs against `moa serve` on loopback, and write reports/clients.json.

The programs come from PyPI and npm, each group in its own environment under `.clients/`, made once. After the
installation, all traffic goes to loopback.

    python -m tests.clients                 everything
    python -m tests.clients openai codex    programs and modes whose name holds one of the words
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.clients.rows import ENVIRONMENTS, NODE_PACKAGES, PROGRAMS, Program
from tests.provider import Provider
from tests.serving import Served, mixture

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".clients"
PROGRAM_FOLDER = Path(__file__).parent / "programs"
TIMEOUT = 240.0
"""Seconds that one mode may take."""


def main(words: list[str]) -> int:
    """Run the modes whose program or name holds one of `words` (all without words); return the exit code."""
    wanted = [(program, mode) for program in PROGRAMS for mode in program.modes if _matches(program, mode, words)]
    for name in {program.environment for program, _ in wanted}:
        _install(name)
    rows = []
    with Provider() as provider, Served(_mixtures(provider)) as served:
        for program, mode in wanted:
            row = _run(program, mode, served.url)
            rows.append(row)
            print(
                f"{'ok  ' if row['passed'] else 'FAIL'} {row['program']} {row['version']} {mode} {row['seconds']:.1f} s"
            )
            if not row["passed"]:
                print(row["output"])
    failed = [row for row in rows if not row["passed"]]
    report = {"programs": len(rows), "passed": len(rows) - len(failed), "failed": len(failed), "rows": rows}
    target = ROOT / "reports" / "clients.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"{report['passed']} passed, {report['failed']} failed")
    return 1 if failed or not rows else 0


def _matches(program: Program, mode: str, words: list[str]) -> bool:
    name = f"{program.package} {program.file} {mode}"
    return not words or any(word in name for word in words)


def _mixtures(provider: Provider) -> dict[str, Any]:
    """`text` answers, `tools` calls the first tool it is offered; the agents' mixtures call their shell tool."""
    drafts = ("one-say=draft%20one", "two-say=draft%20two")
    command = "echo tool-ran-$((6*7))"
    return {
        "text": mixture(provider, *drafts, aggregator="agg-say=the%20whole%20answer"),
        "tools": mixture(provider, *drafts, aggregator="agg"),
        "codex": mixture(provider, *drafts, aggregator=_calling("exec_command", {"cmd": command})),
        "claude": mixture(provider, *drafts, aggregator=_calling("Bash", {"command": command, "description": "x"})),
    }


def _calling(name: str, arguments: dict[str, str]) -> str:
    """Return the name of a loopback model that calls that tool once and then answers."""
    text = quote(json.dumps({"name": name, "arguments": arguments}), safe="")
    for sign in "-_.":
        text = text.replace(sign, f"%{ord(sign):02X}")
    return f"call={text}-say=the%20whole%20answer"


def _run(program: Program, mode: str, base: str) -> dict[str, Any]:
    node = program.environment == "node"
    python = HOME / program.environment / "bin" / "python"
    command = ["node", str(_node_file(program.file))] if node else [str(python), str(PROGRAM_FOLDER / program.file)]
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "BASE": base,
        "NODE_FOLDER": str(HOME / "node"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "HAYSTACK_TELEMETRY_ENABLED": "False",
    }
    begun = time.monotonic()
    with _process([*command, mode], environment) as process:
        try:
            output, _ = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            output += f"\nno end after {TIMEOUT:g} s"
    passed = process.returncode == 0 and output.rstrip().endswith("OK")
    return {
        "program": program.package + (" (node)" if node else ""),
        "mode": mode,
        "version": _version(program),
        "passed": passed,
        "seconds": round(time.monotonic() - begun, 1),
        "output": "" if passed else output[-2000:],
    }


@contextmanager
def _process(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, env=environment, cwd=HOME, **options) as process:
        yield process


def _node_file(name: str) -> Path:
    """Copy a node program beside its packages, where node looks for them."""
    return Path(shutil.copy(PROGRAM_FOLDER / name, HOME / "node" / name))


def _version(program: Program) -> str:
    if program.environment == "node":
        about = HOME / "node" / "node_modules" / program.package / "package.json"
        return str(json.loads(about.read_text(encoding="utf-8"))["version"])
    code = f"from importlib.metadata import version; print(version({program.package!r}))"
    python = HOME / program.environment / "bin" / "python"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _install(name: str) -> None:
    """Make an environment, unless it is there with the same packages."""
    folder, packages = HOME / name, NODE_PACKAGES if name == "node" else ENVIRONMENTS[name]
    stamp = folder / "packages.json"
    if stamp.exists() and json.loads(stamp.read_text()) == list(packages):
        return
    print(f"installing {name}: {', '.join(packages)}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    if name == "node":
        (folder / "package.json").write_text('{"private": true, "type": "module"}\n')
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", *packages], cwd=folder, check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *packages], check=True)
    stamp.write_text(json.dumps(list(packages)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
