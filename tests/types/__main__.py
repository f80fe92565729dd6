"""Run mypy and pyright: strict on the package, their defaults on examples and on the documentation's Python blocks.

`make types` runs this. Every page becomes one module, since its blocks share their names.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.test_docs import PAGES, ROOT, blocks

HERE = Path(__file__).parent
REFUSED = HERE / "refused.py"
TOOLS = Path(sys.executable).parent


def gather(folder: Path) -> None:
    """Copy the examples and the accepted calls, and write one module per page, into `folder`."""
    for example in sorted((ROOT / "examples").glob("*.py")):
        shutil.copy(example, folder / f"example_{example.name}")
    shutil.copy(HERE / "accepted.py", folder)
    for page in PAGES:
        if found := blocks(page, "python"):
            # Lines keep their numbers, so that a message leads to the page.
            lines = [""] * max(int(place.rpartition(":")[2]) + text.count("\n") for _, place, text in found)
            for _, place, text in found:
                start = int(place.rpartition(":")[2]) - 1
                lines[start : start + text.count("\n")] = text.splitlines()
            (folder / f"page_{page.stem.replace('-', '_')}.py").write_text("\n".join(lines), encoding="utf-8")


def mypy(*arguments: str, folder: Path, cache: str) -> tuple[int, str]:
    """Run mypy. Runs with other options or at the same time need a cache each."""
    command = [str(TOOLS / "mypy"), "--no-error-summary", "--cache-dir", str(ROOT / ".mypy_cache" / cache), *arguments]
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def pyright(*files: str, folder: Path) -> list[tuple[str, int, str]]:
    """Errors as (file, line, message), in pyright's basic mode."""
    config = {
        "typeCheckingMode": "basic",
        "extraPaths": [str(ROOT)],
        "pythonVersion": "3.11",
        "reportMissingModuleSource": False,
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    command = [str(TOOLS / "basedpyright"), "--pythonpath", sys.executable, "--project", str(folder), "--outputjson"]
    done = subprocess.run([*command, *files], cwd=folder, env=_environment(), capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(f"pyright: {done.stdout}{done.stderr}")
    found = json.loads(done.stdout)["generalDiagnostics"]
    return [
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"].splitlines()[0])
        for each in found
        if each["severity"] == "error"
    ]


def _environment() -> dict[str, str]:
    return {**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT)}


def check_strict(platform: str) -> list[str]:
    options = ("--strict", "--platform", platform, "--config-file", str(ROOT / "pyproject.toml"))
    code, output = mypy(*options, str(ROOT / "moa_graph"), folder=ROOT, cache=platform)
    print(f"mypy: strict on the package, {platform}")
    return [f"mypy: {line}" for line in output.splitlines()] if code else []


def check_calls() -> list[str]:
    found: list[str] = []
    for check in (check_accepted, check_refused):
        with tempfile.TemporaryDirectory() as folder:
            found += check(Path(folder))
    return found


def check_accepted(folder: Path) -> list[str]:
    gather(folder)
    files = sorted(path.name for path in folder.glob("*.py"))
    options = ("--config-file=", "--python-version=3.11", "--follow-imports=silent", "--ignore-missing-imports")
    code, output = mypy(*options, "--allow-redefinition", *files, folder=folder, cache="accepted")
    found = [f"mypy: {line}" for line in output.splitlines() if ": note: " not in line] if code else []
    print(f"mypy: {len(files)} files of examples and documentation")
    found += [f"pyright: {file}:{line}: {text}" for file, line, text in pyright(*files, folder=folder)]
    print(f"pyright: {len(files)} files of examples and documentation")
    return found


def check_refused(folder: Path) -> list[str]:
    """Each marked line is an error to both checkers, and no other line is."""
    shutil.copy(REFUSED, folder)
    lines = REFUSED.read_text(encoding="utf-8").splitlines()
    expected = {number for number, line in enumerate(lines, 1) if line.endswith("# error")}
    options = ("--config-file=", "--python-version=3.11", "--follow-imports=silent", "--ignore-missing-imports")
    output = mypy(*options, REFUSED.name, folder=folder, cache="refused")[1]
    by_mypy = {int(line) for line in re.findall(r"^refused\.py:(\d+): error", output, re.M)}
    by_pyright = {line for _, line, _ in pyright(REFUSED.name, folder=folder)}
    found = []
    for tool, lines_found in (("mypy", by_mypy), ("pyright", by_pyright)):
        found += [f"{tool}: refused.py:{n} must be a type error and is not" for n in sorted(expected - lines_found)]
        found += [f"{tool}: refused.py:{n} must not be a type error" for n in sorted(lines_found - expected)]
        print(f"{tool}: {len(expected)} wrong calls in refused.py")
    return found


def main() -> None:
    checks = [partial(check_strict, "linux"), partial(check_strict, "win32"), check_calls]
    with ThreadPoolExecutor(2) as pool:  # each check waits for processes
        found = [line for lines in pool.map(lambda check: check(), checks) for line in lines]
    print(*found, sep="\n") if found else print("no type errors")
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()
