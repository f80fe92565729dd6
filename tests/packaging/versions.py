"""The quick tests in a new environment with the lowest, or the newest, versions of all declared dependencies.

`python -m tests.packaging.versions lowest` (or `newest`). uv chooses the versions: pip cannot choose the lowest.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.packaging.pythons import clean, environment, install

ROOT = Path(__file__).parents[2]
EXTRAS = "local,evals,quick"
"""Without `serve`: the package mcp needs a newer pydantic than this package."""
SHOWN = ("langgraph", "langgraph-sdk", "langchain-core", "langchain-openai", "openai", "pydantic", "mcp", "typer")


def main() -> int:
    which = sys.argv[1] if len(sys.argv) == 2 else ""
    if which not in ("lowest", "newest"):
        print(__doc__, file=sys.stderr)
        return 2
    resolution = {"lowest": "lowest-direct", "newest": "highest"}[which]
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"moa-{which}-") as folder:
        python = environment(sys.executable, Path(folder) / "venv")
        install(python, "--resolution", resolution, "-e", f"{ROOT}[{EXTRAS}]")
        listing = [sys.executable, "-m", "uv", "pip", "list", "--quiet", "--python", str(python)]
        listed = subprocess.run(listing, check=True, env=clean(), capture_output=True, text=True)
        print(*(line for line in listed.stdout.splitlines() if line.split()[0] in SHOWN), sep="\n")
        print(f"installed in {time.monotonic() - start:.0f} s", flush=True)
        tests = [str(python), "-m", "pytest", "-q", "-n", "2", "-m", "not slow", "-p", "no:cacheprovider", "tests/unit"]
        return subprocess.run(tests, cwd=ROOT, env=clean()).returncode


if __name__ == "__main__":
    raise SystemExit(main())
