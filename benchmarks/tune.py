"""`python -m benchmarks.tune`: `moa tune` on every recorded set, and on planted cases; reports/tune.json.

Nothing is sent anywhere: the recorded models answer inside real graphs. Sets are taken from the folders
`recorded_drafts` and `recorded_answers` of the assets, or from the paths that are given. Each gets a report and a
mixture file in reports/tune/NAME. Two further commands run planted cases that the rule was not made with; each takes a
quarter of an hour:

`--unseen`: settings drawn at random, with and without a gain; reports/tune_unseen.json.
`--no-gain`: settings where the best mixture equals the best single model, with paid candidates that race and ways of
reading answers that err; reports/tune_no_gain.json.
"""

import asyncio
import json
import math
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.combine.__main__ import ASSETS
from moa_graph.evals.data.files import stem
from moa_graph.evals.figures import Figures
from moa_graph.evals.tune.recorded.run import tune_recorded
from moa_graph.evals.tune.settings import Options
from tests.tune.planted import HELPS, HURTS, Planted, break_even, decided, known_beforehand, truth, unseen

REPORT = Path("reports/tune.json")
UNSEEN_REPORT = Path("reports/tune_unseen.json")
NO_GAIN_REPORT = Path("reports/tune_no_gain.json")
REPETITIONS = 100
UNSEEN = ((3, 4), (4, 1), (4, 2), (5, 3), (6, 2), (7, 1), (8, 4))
"""Sizes of the pool, and drafts of each model."""
EVEN = {(3, 1): 300, (4, 3): 100, (6, 2): 100}
"""Repetitions by size and drafts, of the settings in which no mixture gains and none loses."""
WHOLE: dict[str, dict[str, Any]] = {
    "free candidates alone": {},
    "12 paid ones": {"paid": 12, "stop": False},
    "12 paid ones that race": {"paid": 12},
    "12 that race, 5 readers": {"paid": 12, "readers": 5},
}
"""What is decided on all prompts."""


def recorded_sets() -> list[Path]:
    """Return every recorded set of the assets."""
    drafts = sorted((ASSETS / "recorded_drafts").glob("*.jsonl*"))
    return [*drafts, *sorted(path for path in (ASSETS / "recorded_answers").glob("*") if path.is_dir())]


def one_set(path: Path) -> Figures:
    """Run one set and return what its report has, shortened."""
    name = stem(path)
    begun = time.monotonic()
    result = asyncio.run(tune_recorded(path, Options(out=REPORT.parent / "tune" / name)))
    figures = result.figures()
    kept = ("verdict", "sentence", "winner", "best_single", "mixture", "run", "n", "ceiling", "honest", "hidden_gain",
            "p_corrected", "finalists", "pareto", "agreement", "replayed", "cautions")  # fmt: skip
    rows = [_short(row) for row in figures["candidates"]]
    found = {name: figures[name] for name in kept}
    return {**found, "candidates": rows, "seconds": round(time.monotonic() - begun, 1)}


def _short(row: Figures) -> Figures:
    names = (
        "name",
        "kind",
        "status",
        "score",
        "interval",
        "gain",
        "gain_interval",
        "helped",
        "hurt",
        "calls",
        "tokens",
    )
    return {name: row[name] for name in names}


def planted(case: Planted, right: str, *, depth: int = 5, seeds: int = 0, prompts: int = 10_000) -> Figures:
    """Return how often the verdict is right on a planted case, at 200 and at 30 questions.

    Args:
        case: The case.
        right: The right verdict.
        depth: Drafts of each model.
        seeds: The first seed.
        prompts: Questions that the true gain is measured on.
    """
    single, gain = truth(case, prompts=prompts, depth=depth)
    at: dict[str, Any] = {}
    for many in (200, 30):
        found = Counter(decided(case, many, depth, seeds + place)[0].use for place in range(REPETITIONS))
        at[f"{many} prompts"] = dict(found)
    return {"best_single": 100 * single, "true_gain": 100 * gain, "right": right, "repetitions": REPETITIONS, **at}


def unseen_cases() -> None:
    """Run the planted cases that the rule was not made with."""
    report: dict[str, Any] = {}
    for models, depth in UNSEEN:
        for helps in (True, False):
            case, right = unseen(models, depth, helps=helps), "mixture" if helps else "single"
            found = planted(case, right, depth=depth, seeds=50_000, prompts=3000)
            name = f"{models} models, {depth} drafts, {'helps' if helps else 'does not help'}"
            report[name] = {**found, **(known_power(case, depth) if helps else {}), "case": vars(case)}
            at = (found["200 prompts"], found["30 prompts"])
            print(f"{name}: true gain {found['true_gain']:.2f} points", *at, flush=True)
            _written(report, UNSEEN_REPORT)


def known_power(case: Planted, depth: int) -> Figures:
    """Return what a one-sided test at 2.5 % finds that knows the best mixture and the best single model beforehand."""
    gain, deviation = known_beforehand(case, depth=depth)
    reach = 1.96 - gain / deviation * math.sqrt(200)
    needed = ((1.96 + 1.645) * deviation / gain) ** 2
    return {
        "gain_by_20000": 100 * gain,
        "deviation": 100 * deviation,
        "known_test_finds": 50 * math.erfc(reach / math.sqrt(2)),
        "prompts_for_95_percent": round(needed),
    }


def cases_without_gain() -> None:
    """Run the settings in which no mixture gains: how often one is chosen, and what choices on all prompts add."""
    report: dict[str, Any] = {}
    for (models, depth), many in EVEN.items():
        case = break_even(models, depth)
        gain = 100 * truth(case, prompts=6000, depth=depth)[1]
        for how, given in WHOLE.items():
            uses = Counter(decided(case, 200, depth, 70_000 + seed, **given)[0].use for seed in range(many))
            name = f"{models} models, {depth} drafts, {how}"
            report[name] = {"true_gain": gain, "repetitions": many, "200 prompts": dict(uses), "case": vars(case)}
            print(f"{name}: true gain {gain:.2f} points, {many} repetitions", dict(uses), flush=True)
            _written(report, NO_GAIN_REPORT)


def _written(report: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    if sys.argv[1:] in (["--unseen"], ["--no-gain"]):
        unseen_cases() if sys.argv[1] == "--unseen" else cases_without_gain()
        return
    paths = [Path(each) for each in sys.argv[1:]] or recorded_sets()
    report: dict[str, Any] = {"sets": {}, "planted": {}}
    for path in paths:
        found = report["sets"][stem(path)] = one_set(path)
        ceiling = found["ceiling"]
        bound = ceiling["co_failure_upper"]
        print(f"\n{path.name}: {found['n']} questions, {found['seconds']} s")
        print(
            f"  ceiling {ceiling['oracle']:.2f} %, best single {ceiling['best_single']:.2f} % ({found['best_single']})"
        )
        print(f"  co-failure {ceiling['co_failure']:.2f} %" + ("" if bound is None else f", at most {bound:.2f} %"))
        for row in sorted(found["candidates"], key=lambda row: -row["score"])[:4]:
            print(f"    {row['score']:6.2f} %  {row['calls']:6.2f} calls  {row['name']}")
        for row in found["candidates"]:
            if row["kind"] == "adaptive vote":
                print(f"    {row['score']:6.2f} %  {row['calls']:6.2f} calls  {row['name']}")
        print(f"  {found['sentence']}")
    for name, case, right in (("helps", HELPS, "mixture"), ("hurts", HURTS, "single")):
        found = report["planted"][name] = planted(case, right)
        print(f"\nplanted, {name}: true gain {found['true_gain']:.2f} points, right is {right}")
        print(f"  200 prompts {found['200 prompts']}, 30 prompts {found['30 prompts']}")
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
