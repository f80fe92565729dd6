"""`make cheap`: what prompt caches, shared requests and Batch APIs save; reports/cheap.json.

`make batch-api` measures the Batch API alone. Ends with 1 when a figure misses its target.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.cheap import batches, caches, samples

REPORT = Path("reports/cheap.json")

AT_LEAST = {"prefix_share": 0.72, "agent_prefix_share": 0.80}
AT_MOST = {"cost_ratio": 0.35, "sample_prompts_billed": 1.0, "batch_lost": 0, "batch_paid_twice": 0,
           "batch_price_ratio": 0.5, "batch_exit_code": 0}  # fmt: skip


def misses(figures: dict[str, Any]) -> list[str]:
    """Return the figures that miss their targets."""
    low = [f"{name} is {figures[name]}, at least {least:g} wanted" for name, least in AT_LEAST.items()
           if name in figures and figures[name] < least]  # fmt: skip
    high = [f"{name} is {figures[name]}, at most {most:g} wanted" for name, most in AT_MOST.items()
            if name in figures and figures[name] > most]  # fmt: skip
    unequal = [] if figures.get("batch_equal", True) else ["the answers of the batch differ from the direct ones"]
    return [*low, *high, *unequal]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["batch", "caches", "samples"], help="one part; the others' figures stay")
    parser.add_argument("--prompts", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--out", type=Path, default=REPORT)
    given = parser.parse_args()
    os.environ.setdefault("OPENAI_API_KEY", "sk-loopback")
    figures: dict[str, Any] = json.loads(given.out.read_text()) if given.only and given.out.exists() else {}
    if given.only in (None, "caches"):
        figures |= caches.measure()
    if given.only in (None, "samples"):
        figures |= samples.measure()
    if given.only in (None, "batch"):
        with tempfile.TemporaryDirectory(prefix="moa-batch-") as folder:
            figures |= batches.measure(Path(folder), prompts=given.prompts, kills=given.kills)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
    wrong = misses(figures)
    print(*(wrong or ["all targets are met"]), sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
