"""Apply each fault of `faults.toml` to a copy of the tree, and run the tests that must detect it.

`make mutants` runs all and writes reports/mutants.json; `--short` runs every sixteenth; `--only WORD` those whose name
has the word. Ends with 1 when a fault survives, when its line is not in its file exactly once, or when the tests fail
without any fault.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("faults.toml")
REPORT = ROOT / "reports" / "mutants.json"
QUICK = "tests/unit"
_COPIED = (
    "moa_graph",
    "benchmarks",
    "tests",
    "docs",
    "examples",
    "pyproject.toml",
    "README.md",
    "langgraph.json",
    "CHANGELOG.md",
)
_LONGEST = 600
"""Seconds that one fault's tests may take."""
_PRELOADED = (
    *("langgraph.graph.state", "langchain_core.language_models", "langchain_openai"),
    *("langchain_together", "openai", "aiohttp", "httpx", "httpx2", "langsmith", "genai_prices.data_snapshot", "numpy"),
)
_FAILED = 1
"""pytest's exit code when tests ran and some failed; all others mean that the tests did not run properly."""


@dataclass(frozen=True)
class Fault:
    """One faulty line.

    Attributes:
        name: A description of the fault.
        file: The file, from the repository's root.
        old: The line as it is, without indentation.
        new: The faulty line.
        tests: The tests that detect it, as arguments of pytest.
    """

    name: str
    file: str
    old: str
    new: str
    tests: str


def faults() -> list[Fault]:
    """Return the list of faults in its order."""
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


def stale(listed: list[Fault]) -> list[str]:
    """Return the errors of the list: missing lines, and duplicate names or faults."""
    found = []
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


def preload() -> None:
    """Import the dependencies once, so that a forked test run starts fast. Each run imports this package itself."""
    for name in _PRELOADED:
        with suppress(ImportError):
            importlib.import_module(name)


def run_tests(folder: Path, tests: str) -> int:
    """Run tests of the copy in `folder`; return pytest's exit code. Its output goes to `folder`/output."""
    command = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", *tests.split()]
    # Some of what is loaded already is a plugin of pytest, whose assertions need no rewriting.
    command += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    shared = os.environ.get("MOA_SHARED") or str(ROOT.parent / "shared")
    changes = {"PYTHONPATH": str(folder), "MOA_SHARED": shared, "PYTHONDONTWRITEBYTECODE": "1"}
    with (folder / "output").open("w") as output:
        if not hasattr(os, "fork"):
            run = [sys.executable, "-m", "pytest", *command]
            env = {**os.environ, **changes}
            return subprocess.run(run, cwd=folder, env=env, stdout=output, stderr=output, timeout=_LONGEST).returncode
        child = os.fork()
        if child == 0:
            code = 70
            try:
                signal.alarm(_LONGEST)
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                os.chdir(folder)
                os.environ.update(changes)
                sys.dont_write_bytecode = True
                sys.path[:] = [str(folder), *(path for path in sys.path if path not in ("", str(ROOT)))]
                for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "moa_graph")]:
                    del sys.modules[name]
                code = int(pytest.main(command))
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def output_of(folder: Path) -> str:
    return (folder / "output").read_text(errors="replace")


def try_fault(fault: Fault) -> dict[str, object]:
    """Return what became of a fault: caught or not, by the quick tests or others, and the test that detected it."""
    with copy() as folder:
        path = folder / fault.file
        path.write_text(mutated(path.read_text(encoding="utf-8"), fault), encoding="utf-8")
        code = run_tests(folder, fault.tests)
        output = output_of(folder)
    noticed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    caught = code == _FAILED
    print(f"{'caught  ' if caught else 'SURVIVED'}  {fault.name}", flush=True)
    if code not in (0, _FAILED):
        print(f"          no test could tell (exit code {code}): {output[-800:]}", flush=True)
    quick = caught and all(f" {QUICK}/" in line for line in noticed)
    return {**asdict(fault), "caught": caught, "quick": quick, "by": noticed[:1]}


def part(number: int, of: int, listed: list[Fault], results: Path) -> None:
    """Try every `of`-th fault from `number` on, and write the results. It runs in its own process."""
    found = [try_fault(fault) for fault in listed[number::of]]
    (results / f"{number}.json").write_text(json.dumps(found), encoding="utf-8")


def try_all(listed: list[Fault], workers: int) -> list[dict[str, object]]:
    """Try all faults in `workers` processes; return the results in the list's order."""
    with tempfile.TemporaryDirectory(prefix="moa-mutants-") as folder:
        results = Path(folder)
        if not hasattr(os, "fork"):
            part(0, 1, listed, results)
        else:
            children = []
            for number in range(workers):
                child = os.fork()
                if child == 0:
                    code = 1
                    try:
                        part(number, workers, listed, results)
                        code = 0
                    except BaseException:
                        traceback.print_exc()
                    finally:
                        os._exit(code)
                children.append(child)
            if any(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children):
                raise SystemExit("a worker failed")
        found = [each for file in results.glob("*.json") for each in json.loads(file.read_text(encoding="utf-8"))]
    order = {fault.name: place for place, fault in enumerate(listed)}
    return sorted(found, key=lambda each: order[each["name"]])


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    options.add_argument("--short", action="store_true", help="every sixteenth fault")
    options.add_argument("--only", metavar="WORD", help="faults whose name has this word")
    options.add_argument("--workers", type=int, default=2)
    chosen = options.parse_args()
    preload()
    listed = [fault for fault in faults() if not chosen.only or chosen.only in fault.name]
    listed = listed[::16] if chosen.short else listed
    if problems := stale(listed):
        print(*problems, sep="\n", file=sys.stderr)
        return 1
    with copy() as folder:
        if run_tests(folder, " ".join(sorted({test for fault in listed for test in fault.tests.split()}))):
            print(f"the tests fail without any fault:\n{output_of(folder)[-4000:]}", file=sys.stderr)
            return 1
    results = try_all(listed, chosen.workers)
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
