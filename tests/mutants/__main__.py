"""Apply each fault of `faults.toml` to a copy of the tree, and run the tests that must notice it.

`make mutants` runs all and writes reports/mutants.json; `--short` runs every fifth; `--only WORD` those whose name has
the word. Ends with 1 when a fault survives, when its line is not in its file exactly once, or when the tests fail
without any fault.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("faults.toml")
REPORT = ROOT / "reports" / "mutants.json"
QUICK = "tests/unit"
_COPIED = ("moa_graph", "tests", "docs", "examples", "pyproject.toml", "README.md", "langgraph.json", "CHANGELOG.md")
_FAILED = 1
"""pytest's exit code when tests ran and some failed; others mean that no test could tell."""


@dataclass(frozen=True)
class Fault:
    """One faulty line.

    Attributes:
        name: What is wrong with it.
        file: The file, from the repository's root.
        old: The line as it is, without indentation.
        new: The faulty line.
        tests: The tests that notice, as pytest takes them.
    """

    name: str
    file: str
    old: str
    new: str
    tests: str


def faults() -> list[Fault]:
    """The list, in its order."""
    return [Fault(**each) for each in tomllib.loads(LIST.read_text(encoding="utf-8"))["fault"]]


def mutated(text: str, fault: Fault) -> str:
    """Return the file's text with the fault.

    Raises:
        LookupError: The line is not there exactly once.
    """
    lines = text.splitlines(keepends=True)
    places = [place for place, line in enumerate(lines) if line.strip() == fault.old.strip()]
    if len(places) != 1:
        raise LookupError(
            f"{fault.name}: {fault.file} has the line {len(places)} times, not once: {fault.old!r}. "
            "Change tests/mutants/faults.toml together with the code."
        )
    line = lines[places[0]]
    lines[places[0]] = line[: len(line) - len(line.lstrip())] + fault.new.strip() + "\n"
    return "".join(lines)


def stale() -> list[str]:
    """What is wrong with the list itself: lines that are gone, and names or faults that stand twice."""
    found, listed = [], faults()
    for fault in listed:
        try:
            mutated((ROOT / fault.file).read_text(encoding="utf-8"), fault)
        except (LookupError, OSError) as exc:
            found.append(str(exc))
        if fault.old.strip() == fault.new.strip():
            found.append(f"{fault.name}: the new line is the old one")
    names = [fault.name for fault in listed]
    found += [f"{name}: the name stands twice" for name in sorted({n for n in names if names.count(n) > 1})]
    return found


@contextmanager
def copy() -> Iterator[Path]:
    """A copy of the tree, deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="moa-mutant-") as folder:
        for name in _COPIED:
            source, target = ROOT / name, Path(folder) / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.png"))
            elif source.exists():
                shutil.copy(source, target)
        yield Path(folder)


def run_tests(folder: Path, *tests: str) -> tuple[int, str]:
    """Run tests of the copy in `folder`; return pytest's exit code and the end of its output."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist"]
    shared = os.environ.get("MOA_SHARED") or str(ROOT.parent / "shared")
    env = {**os.environ, "PYTHONPATH": str(folder), "MOA_SHARED": shared, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([*command, *tests], cwd=folder, env=env, capture_output=True, text=True, timeout=900)
    return done.returncode, (done.stdout + done.stderr)[-3000:]


def try_fault(fault: Fault) -> dict[str, object]:
    """Return what became of a fault: caught or not, by the quick tests or others, and the test that noticed."""
    with copy() as folder:
        path = folder / fault.file
        path.write_text(mutated(path.read_text(encoding="utf-8"), fault), encoding="utf-8")
        code, output = run_tests(folder, *fault.tests.split())
    noticed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    caught = code == _FAILED
    print(f"{'caught  ' if caught else 'SURVIVED'}  {fault.name}", flush=True)
    if not caught:
        print(output[-1500:] if code not in (0, _FAILED) else "", end="", flush=True)
    quick = caught and all(f" {QUICK}/" in line for line in noticed)
    return {**asdict(fault), "caught": caught, "quick": quick, "by": noticed[:1]}


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    options.add_argument("--short", action="store_true", help="every fifth fault")
    options.add_argument("--only", metavar="WORD", help="faults whose name has this word")
    options.add_argument("--workers", type=int, default=2)
    chosen = options.parse_args()
    if problems := stale():
        print(*problems, sep="\n", file=sys.stderr)
        return 1
    listed = [fault for fault in faults() if not chosen.only or chosen.only in fault.name]
    listed = listed[::5] if chosen.short else listed
    with copy() as folder:
        code, output = run_tests(folder, *sorted({test for fault in listed for test in fault.tests.split()}))
        if code:
            print(f"the tests fail without any fault:\n{output}", file=sys.stderr)
            return 1
    with ThreadPoolExecutor(chosen.workers) as workers:
        results = list(workers.map(try_fault, listed))
    survived = [each["name"] for each in results if not each["caught"]]
    report = {
        "mutants": len(results),
        "survived": len(survived),
        "caught_quick": sum(bool(each["quick"]) for each in results),
        "survivors": survived,
        "faults": results,
    }
    if not chosen.only:
        REPORT.parent.mkdir(exist_ok=True)
        REPORT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(*(f"{key}: {report[key]}" for key in ("mutants", "survived", "caught_quick")), sep="\n")
    return 1 if survived else 0


if __name__ == "__main__":
    raise SystemExit(main())
