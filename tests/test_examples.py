"""Every example runs unchanged on the embedded model and has fewer than 40 lines."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

# One process for all of them, so that LangGraph is imported and the model loaded once.
RUNNER = """
import contextlib, io, json, runpy, sys
printed = {}
for path in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        runpy.run_path(path, run_name="__main__")
    printed[path] = out.getvalue()
print(json.dumps(printed))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_example_runs_and_prints(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNNER, *map(str, EXAMPLES)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    printed = json.loads(done.stdout)
    assert {path for path, text in printed.items() if text.strip()} == set(map(str, EXAMPLES))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 40
