"""`moa eval run` and `moa eval matrix`: the user's own prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import fsum
from pathlib import Path
from typing import Any, cast, get_args

from moa_graph.cli.eval.options import Choice
from moa_graph.cli.eval.run import start
from moa_graph.cli.eval.show import print_status
from moa_graph.errors import InputError, MoAError
from moa_graph.evals.benchmarks import Setup
from moa_graph.evals.compare.pairs import compare, incomparable, verdict
from moa_graph.evals.compare.reading import load
from moa_graph.evals.compare.systems import ScoredSystem, named_apart
from moa_graph.evals.data.files import Row
from moa_graph.evals.engine import ItemOutcome
from moa_graph.evals.prompts.bench import PromptOptions, own_benchmark, regression
from moa_graph.evals.prompts.grade import Match
from moa_graph.evals.prompts.questions import OwnPrompt
from moa_graph.evals.prompts.results import grading
from moa_graph.evals.prompts.run import RESULTS
from moa_graph.evals.reports.matrix import matrix_page
from moa_graph.evals.session import Benchmark, FinishedRun


def run_prompts(
    choice: Choice,
    path: Path,
    *,
    criteria: str | None,
    match: str | None,
    check: str | None,
    check_timeout: float,
    repeats: int,
    baseline: Path | None,
    fail_under: float | None,
) -> None:
    """Run the user's prompts and compare the score with a baseline and a minimum.

    Raises:
        InputError: An option or the file cannot be used.
        MoAError: The score is lower than the baseline's or than `fail_under`, or a prompt of the baseline has no grade.
    """
    if match is not None and match not in get_args(Match):
        raise InputError(f"--match {match}: must be one of {', '.join(get_args(Match))}")
    if criteria and not choice.judge:
        raise InputError("--criteria needs --judge")
    before = load(str(baseline)) if baseline else None
    if before and before.benchmark != "prompts":
        raise InputError(f"--baseline {baseline}: it has results of {before.benchmark}, not of `moa eval run`")

    graded: set[str] = set()

    def build(setup: Setup) -> Benchmark[OwnPrompt]:
        how = PromptOptions(cast("Match | None", match), check, check_timeout, criteria, repeats)
        bench = own_benchmark(setup, path, how)
        expected = _expected(bench, how, majority=choice.majority)
        graded.update(name for name, way in expected.grading.items() if way)
        if baseline and before:
            _require_comparable(expected, before, baseline)
        return bench

    chosen = replace(choice, judge=choice.judge or ["none"])
    outcome = start(f"prompts-{path.name.split('.json')[0]}", chosen, build)
    if outcome is None:
        return
    shared: tuple[float, float] | None = None
    if before:
        now = load(str(outcome.folder))
        shared = _against(now, before)
        if missing := _missing(outcome, now, before):
            raise MoAError(
                f"regression: prompts with a grade in the baseline and none now ({len(missing)}): "
                f"{', '.join(missing[:10])}. Run again to retry the calls that failed"
            )
    failed = sum(_failed(one) for one in outcome.done if one.item in graded)
    if reason := regression(outcome.scores, shared=shared, fail_under=fail_under, failed=failed):
        raise MoAError(f"regression: {reason}")


def _expected(bench: Benchmark[OwnPrompt], how: PromptOptions, *, majority: bool) -> ScoredSystem:
    """Return the results of a run that is not made yet, without their scores."""
    rows: list[Row] = []
    for item in bench.items:
        row: Row = {"id": item.id, **({"gold": list(item.gold), "match": item.match} if item.gold else {})}
        row |= {"passed": None} if how.check else {}
        if bench.judges and (criteria := item.criteria or how.criteria):
            row |= {"ratings": [judge.name for judge in bench.judges], "criteria": criteria, "majority": majority}
        rows.append(row)
    return ScoredSystem(
        ("this run",),
        "prompts",
        frozenset(name for row in rows for name in row.get("ratings", ())) or frozenset({"right answers"}),
        {(row["id"], 0): 0.0 for row in rows},
        texts={item.id: item.text for item in bench.items},
        grading={row["id"]: grading(row) for row in rows},
    )


def _require_comparable(now: ScoredSystem, before: ScoredSystem, baseline: Path) -> None:
    """Refuse a baseline that this run's scores cannot be compared with, before anything is sent."""
    if not now.texts.keys() & {key[0] for key in before.values}:
        raise InputError("--baseline: the runs share no prompts")
    if reason := incomparable(now, before):
        raise InputError(
            f"--baseline {baseline}: it cannot be compared with this run: {reason}. Answers to the same prompts are "
            "graded again, without being paid for again, by --drafts with the baseline's results.jsonl"
        )


def _against(now: ScoredSystem, before: ScoredSystem) -> tuple[float, float]:
    """Return both means on the shared prompts, this run's first, and print the prompts that changed."""
    ours, theirs = now.by_prompt, before.by_prompt
    shared = [prompt for prompt in ours if prompt in theirs]
    if not shared:
        raise InputError("--baseline: the runs share no prompts")
    # Means of the same repetitions may differ in their last digit.
    lost = [str(prompt) for prompt in shared if ours[prompt] < theirs[prompt] - 1e-9]
    won = [str(prompt) for prompt in shared if ours[prompt] > theirs[prompt] + 1e-9]
    for what, names in (("worse than the baseline", lost), ("better than the baseline", won)):
        if names:
            print_status(f"{what}: {', '.join(names[:20])}" + (" ..." if len(names) > 20 else ""))
    if len(shared) > 1:
        row: Mapping[str, Any] = compare([now, before])["pairs"][0]
        print_status(f"paired comparison with the baseline: {verdict(row)} (p {row['p']:.3g}, {row['n']} prompts)")
    mine, others = (fsum(side[prompt] for prompt in shared) / len(shared) for side in (ours, theirs))
    return mine, others


def _missing(outcome: FinishedRun, now: ScoredSystem, before: ScoredSystem) -> list[str]:
    """Return the prompts of this run that are graded in the baseline only; those skipped for cost are not counted."""
    here, there = ({str(key[0]) for key in side.values} for side in (now, before))
    return [one.item for one in outcome.done if not one.skipped and one.item in there - here]


def _failed(one: ItemOutcome) -> bool:
    """Return whether a prompt has no grade because a call failed or a verdict could not be read."""
    graded = any(row["score"] is not None for row in one.rows.get(RESULTS, ()))
    return not graded and not one.skipped and bool(one.failures or one.unreadable)


def write_matrix(runs: Sequence[str], out: Path) -> None:
    """Write a page of prompts by systems.

    Raises:
        InputError: A run has no results of own prompts.
    """
    systems = named_apart([load(entry) for entry in runs])
    if strange := [system.name for system in systems if system.benchmark != "prompts"]:
        raise InputError(f"{', '.join(strange)}: only results of `moa eval run` can be shown as a matrix")
    matrix_page(systems).write(out)
    print_status(f"report: {out / 'report.html'}")
