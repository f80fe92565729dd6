"""`make eval-soak`: runs of `moa eval` that are killed again and again; reports/eval_soak.json.

The first part is a benchmark of 10,465 calls against the loopback provider, the second (`own_prompts`) a file of own
prompts on the embedded model. Ends with 1 when anything was lost, paid twice, different or too big.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.eval_soak.alpaca import soak
from benchmarks.eval_soak.embedded import own_prompts


def main() -> int:
    """Run, print, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["alpaca", "own-prompts"], help="one part; the other's figures stay")
    parser.add_argument("--prompts", type=int, default=805, help="prompts of the benchmark")
    parser.add_argument("--kills", type=int, default=12, help="kills of the benchmark")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--own-prompts", type=int, default=40)
    parser.add_argument("--own-kills", type=int, default=10)
    parser.add_argument("--report", type=Path, default=Path("reports/eval_soak.json"))
    given = parser.parse_args()
    found: dict[str, Any] = json.loads(given.report.read_text()) if given.only and given.report.exists() else {}
    with tempfile.TemporaryDirectory(prefix="moa-soak-") as folder:
        if given.only in (None, "alpaca"):
            own = found.get("own_prompts")
            found = soak(Path(folder), prompts=given.prompts, kills=given.kills, concurrency=given.concurrency)
            found |= {"own_prompts": own} if own else {}
        if given.only in (None, "own-prompts"):
            found["own_prompts"] = own_prompts(Path(folder), prompts=given.own_prompts, kills=given.own_kills)
    given.report.parent.mkdir(parents=True, exist_ok=True)
    given.report.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    parts = [found.get("passed", True), found.get("own_prompts", {}).get("passed", True)]
    return 0 if all(parts) else 1


if __name__ == "__main__":
    sys.exit(main())
