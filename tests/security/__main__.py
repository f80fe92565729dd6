"""`make security`: attack the promises of SECURITY.md, print the results, and write reports/security.json.

The full form also runs the tests of `findings.py` that are in other folders, and reports each finding.

    python -m tests.security             # everything, the browser and `langgraph dev` included
    python -m tests.security --quick     # without browser and `langgraph dev`, for CI

Ends with 1 when an attack succeeded, and with 2 when the full form could not run one of its parts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.security.findings import FINDINGS

ROOT = Path(__file__).parents[2]
QUICK = [
    "test_batch.py",
    "test_files.py",
    "test_findings.py",
    "test_keys.py",
    "test_ledger.py",
    "test_server_guard.py",
    "test_terminal.py",
    "test_tree.py",
]
FULL = [*QUICK, "test_serve_load.py", "test_browser.py"]
ELSEWHERE = ["tests/serve/test_guard.py", "tests/faults/test_fence.py", "tests/faults/test_secrets.py"]


class Counts:
    """Counts attacks by test file. Each case of a test is one attack."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        self.attacks: Counter[str] = Counter()
        self.succeeded: list[str] = []
        self.skipped: list[str] = []
        self.run: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one case."""
        file = report.nodeid.partition("::")[0]
        self.run.add(_function(report.nodeid))
        if report.skipped:
            self.skipped.append(report.nodeid)
        elif report.failed:
            self.attacks[file] += report.when == "call"
            self.succeeded.append(report.nodeid)
        elif report.when == "call":
            self.attacks[file] += 1
            self.held[file] += 1


def _function(node: str) -> str:
    return node.partition("[")[0].removeprefix("tests/")


def _elsewhere() -> list[str]:
    """Return the tests of findings outside the files that are run as a whole."""
    whole = {*(f"tests/security/{name}" for name in FULL), *ELSEWHERE}
    tests = dict.fromkeys(test for finding in FINDINGS.values() for test in finding.tests)
    return [f"tests/{test}" for test in tests if f"tests/{test.partition('::')[0]}" not in whole]


def _findings(counts: Counts) -> dict[str, str]:
    """Return what became of each finding: it held, succeeded, or was not run as a whole."""
    bad = {_function(node) for node in counts.succeeded}
    out = {_function(node) for node in counts.skipped}

    def state(tests: tuple[str, ...]) -> str:
        if bad.intersection(tests):
            return "succeeded"
        return "held" if counts.run.issuperset(tests) and not out.intersection(tests) else "not run"

    return {name: state(finding.tests) for name, finding in FINDINGS.items()}


def main() -> int:
    """Run the attacks; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.security")
    parser.add_argument("--quick", action="store_true", help="without the browser, langgraph dev and load")
    quick = parser.parse_args().quick
    files = [str(ROOT / "tests" / "security" / name) for name in (QUICK if quick else FULL)]
    files += [] if quick else [str(ROOT / name) for name in [*ELSEWHERE, *_elsewhere()]]
    if not quick:
        # Some findings have a long case, which is skipped otherwise: they would count as not run.
        os.environ["MOA_LONG"] = "1"
    counts, start = Counts(), time.monotonic()
    code = int(pytest.main(["-q", "-p", "no:cacheprovider", *files], plugins=[counts]))
    report = {
        "attacks": sum(counts.attacks.values()),
        "held": sum(counts.held.values()),
        "succeeded": sorted(set(counts.succeeded)),
        "skipped": sorted(set(counts.skipped)),
        "seconds": round(time.monotonic() - start, 1),
        "quick": quick,
        "findings": _findings(counts),
        "files": {
            name: {"attacks": counts.attacks[name], "held": counts.held[name]} for name in sorted(counts.attacks)
        },
    }
    target = ROOT / "reports" / "security.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"{report['held']} of {report['attacks']} attacks held; {target.relative_to(ROOT)}\n")
    if code or report["succeeded"]:
        return 1
    return 2 if report["skipped"] and not quick else 0


if __name__ == "__main__":
    sys.exit(main())
