"""The user's own prompts as a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moa_graph.errors import InputError
from moa_graph.evals.benchmarks import Setup
from moa_graph.evals.data.files import Row
from moa_graph.evals.engine import choose
from moa_graph.evals.figures import Figures
from moa_graph.evals.prompts.figures import prompts_figures
from moa_graph.evals.prompts.grade import Match, command_of
from moa_graph.evals.prompts.questions import OwnPrompt, own_prompts
from moa_graph.evals.prompts.run import PARAMETERS, RESULTS, PromptsWork
from moa_graph.evals.session import Benchmark

OBJECTIVE = "objective/"
"""Prefix in the catalogue of question sets with right answers."""


@dataclass(frozen=True)
class PromptOptions:
    """How own prompts are graded; see `PromptsWork`."""

    match: Match | None = None
    check: str | None = None
    check_seconds: float = 10.0
    criteria: str | None = None
    repeats: int = 1


def own_benchmark(setup: Setup, path: Path, how: PromptOptions) -> Benchmark[OwnPrompt]:
    """Return the user's prompts as a benchmark.

    Raises:
        InputError: The prompts, or the way of grading, cannot be used.
    """
    name = path.as_posix()
    # An objective set is named like its file in the catalogue; a file of the user's takes precedence.
    published = name.startswith(OBJECTIVE) and not path.exists()
    rows = setup.rows(name) if published else setup.file(path)
    items = own_prompts(rows, str(path), match=how.match)
    argv = command_of(how.check) if how.check else None
    judges = setup.judging(lambda _: PARAMETERS)
    rated = bool(how.criteria) or any(item.criteria for item in items)
    if not (judges and rated) and not argv and not any(item.gold for item in items):
        raise InputError(
            f"{path}: it defines no right answers: the first row has {', '.join(list(rows[0])[:12])}. Name the right "
            "answer `gold` (of options, its letter or its text), or use --check or --criteria"
        )
    work = PromptsWork(
        setup.system,
        judges if rated else (),
        how.criteria,
        argv,
        how.check_seconds,
        how.repeats,
        setup.temperature,
        setup.max_tokens,
        setup.majority,
    )
    chosen = choose(items, lambda item: item.id, setup.options)
    setup.require_recorded([item.keys for item in chosen])
    settings = {"check": how.check, "criteria": how.criteria, "repeats": how.repeats, "majority": setup.majority}
    return Benchmark(
        name="prompts",
        items=chosen,
        identify=lambda item: item.id,
        work=work.work,
        files={RESULTS: RESULTS},
        figures=lambda rows: _figures(rows[RESULTS]),
        system=setup.system,
        judges=judges if rated else (),
        settings={**settings, "match": how.match},
        repeats=how.repeats,
        order=[item.id for item in items],
        data=setup.data,
        kin=setup.recorded_models,
    )


def _figures(rows: Sequence[Row]) -> Figures:
    return {"answered": len(rows), **prompts_figures(rows)}


def regression(
    scores: Figures,
    *,
    shared: tuple[float, float] | None = None,
    fail_under: float | None = None,
    failed: int = 0,
) -> str | None:
    """Return why a score is too low; None if it is high enough.

    Args:
        scores: The run's figures. The score is in percent, and None if no answer could be graded.
        shared: With a baseline, this run's score and the baseline's on the prompts that both have.
        fail_under: The lowest score that passes, in percent.
        failed: The prompts without a grade because of a failure. They count as 0 for `fail_under`.
    """
    score = scores["score"]
    if score is None:
        return "no answer could be graded"
    every = scores["n"] + failed
    counted = score * scores["n"] / every if failed else score
    if fail_under is not None and counted < fail_under:
        why = f": {failed} of {every} prompts have no grade and count as 0" if failed else ""
        return f"the score is {counted:.2f} %, under --fail-under {fail_under:g}{why}"
    if shared and shared[0] < shared[1] - 1e-9:
        return f"the score is {shared[0]:.2f} %, the baseline's on the same prompts {shared[1]:.2f} %"
    return None
