"""`make combine`: what each combiner makes of recorded drafts and answers; reports/combine.json.

Drafts, judges' scores and answers are recorded; the graph is the real one, and nothing is sent anywhere. Accuracy is in
percent; calls and tokens are means per question, tokens of drafts as a quarter of the characters. Ends with 1 when a
check fails, and with 2 when a recorded set cannot be read.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.combine.answers import answers_table
from benchmarks.combine.drafts import drafts_table
from benchmarks.combine.sets import SetError, answer_sets, draft_sets

ASSETS = Path(os.environ.get("MOA_ASSETS", Path(__file__).parents[2] / ".." / "shared" / "assets"))
REPORT = Path("reports/combine.json")


async def replay_all(assets: Path) -> dict[str, Any]:
    """Return the table of every recorded set.

    Raises:
        SetError: A set cannot be read, or no set is found.
    """
    drafts, answers = draft_sets(assets), answer_sets(assets)
    if not drafts and not answers:
        raise SetError(f"{assets}: no recorded_drafts/*.jsonl.gz and no recorded_answers/*/*.jsonl.gz. Give --assets.")
    sets: dict[str, Any] = {}
    for each in drafts:
        sets[each.name] = await drafts_table(each)
        show(each.name, sets[each.name])
    for bench in answers:
        name = bench.name if bench.name not in sets else f"{bench.name} answers"
        sets[name] = await answers_table(bench)
        show(name, sets[name])
    return sets


def show(name: str, found: dict[str, Any]) -> None:
    """Print the table of one set."""
    print(f"\n{name}", flush=True)
    for row in found["table"]:
        who = f"{row['model']}: " if "model" in row else ""
        tokens = "" if row["tokens"] is None else f"{row['tokens']:>9,} tokens"
        print(f"  {who + row['combiner']:<75} {row['accuracy']:6.2f} %  {row['calls']:6.2f} calls {tokens}")
    print("  " + ", ".join(f"{check} {value}" for check, value in found["checks"].items()), flush=True)


def failures(sets: dict[str, Any]) -> list[str]:
    """Return the checks that failed."""
    return [
        f"{name}: {check} is {value}"
        for name, found in sets.items()
        for check, value in found["checks"].items()
        if ("differs" in check or check == "in_flight_after_pass") and value
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, default=ASSETS, help="the folder of the recorded sets")
    parser.add_argument("--out", type=Path, default=REPORT)
    given = parser.parse_args()
    began = time.monotonic()
    try:
        sets = asyncio.run(replay_all(given.assets))
    except SetError as error:
        print(f"combine: {error}", file=sys.stderr)
        return 2
    wrong = failures(sets)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    report = {"sets": sets, "failed_checks": wrong, "seconds": round(time.monotonic() - began, 1)}
    given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print("", *(wrong or ["all checks hold"]), sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
