"""The quick tests in a new environment with the lowest, or the newest, versions of all declared dependencies.

`python -m tests.packaging.versions lowest` (or `newest`). uv chooses the versions: pip cannot choose the lowest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTRAS = "local,evals,quick"
"""Without `serve`: the package mcp needs a newer pydantic than this package."""
SHOWN = ("langgraph", "langgraph-sdk", "langchain-core", "langchain-openai", "openai", "pydantic", "mcp", "typer")


def environment() -> dict[str, str]:
    """The process's environment, with pip's index and certificates for uv, and without paths to this tree."""
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    for pips, uvs in (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_CERT", "SSL_CERT_FILE")):
        if pips in own:
            own.setdefault(uvs, own[pips])
    return own


def main() -> int:
    which = sys.argv[1] if len(sys.argv) == 2 else ""
    if which not in ("lowest", "newest"):
        print(__doc__, file=sys.stderr)
        return 2
    resolution = {"lowest": "lowest-direct", "newest": "highest"}[which]
    uv, start = [sys.executable, "-m", "uv"], time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"moa-{which}-") as folder:
        home, env = Path(folder) / "venv", environment()
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(home)], check=True, env=env)
        python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        # Compiled once, as pip does it: each process of the tests would compile what it imports.
        install = [*uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
        install += ["--resolution", resolution]
        subprocess.run([*install, "-e", f"{ROOT}[{EXTRAS}]"], check=True, env=env)
        listed = subprocess.run(
            [*uv, "pip", "list", "--quiet", "--python", str(python)],
            check=True,
            env=env,
            capture_output=True,
            text=True,
        )
        print(*(line for line in listed.stdout.splitlines() if line.split()[0] in SHOWN), sep="\n")
        print(f"installed in {time.monotonic() - start:.0f} s", flush=True)
        tests = [str(python), "-m", "pytest", "-q", "-n", "2", "-m", "not slow", "-p", "no:cacheprovider", "tests/unit"]
        return subprocess.run(tests, cwd=ROOT, env=env).returncode


if __name__ == "__main__":
    raise SystemExit(main())
