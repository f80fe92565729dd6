"""The quick tests in a new environment with the lowest, or the newest, versions of all declared dependencies.

`python -m tests.packaging.versions lowest` (or `newest`). `--short` collects all of them, and runs every third file.
"""

from __future__ import annotations

import argparse
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
    options = argparse.ArgumentParser(prog="python -m tests.packaging.versions", description=__doc__)
    options.add_argument("which", choices=["lowest", "newest"])
    options.add_argument("--short", action="store_true", help="every third file")
    chosen = options.parse_args()
    which, resolution = chosen.which, {"lowest": "lowest-direct", "newest": "highest"}[chosen.which]
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"moa-{which}-") as folder:
        python = environment(sys.executable, Path(folder) / "venv")
        install(python, "--resolution", resolution, "-e", f"{ROOT}[{EXTRAS}]")
        listing = [sys.executable, "-m", "uv", "pip", "list", "--quiet", "--python", str(python)]
        listed = subprocess.run(listing, check=True, env=clean(), capture_output=True, text=True)
        print(*(line for line in listed.stdout.splitlines() if line.split()[0] in SHOWN), sep="\n")
        print(f"installed in {time.monotonic() - start:.0f} s", flush=True)
        tests = [str(python), "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider"]
        files = sorted(map(str, (ROOT / "tests" / "unit").glob("test_*.py")))
        if chosen.short:
            # Importing a file shows what is missing, such as a name that came later. Python 3.13 has another third.
            subprocess.run([*tests, "--collect-only", "-qq", *files], cwd=ROOT, env=clean(), check=True)
            files = files[1::3]
        return subprocess.run([*tests, "-n", "2", *files], cwd=ROOT, env=clean()).returncode


if __name__ == "__main__":
    raise SystemExit(main())
