"""`tune`: from prompts and a pool of models to a decision."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moa_graph.costs.file_lock import only_run
from moa_graph.costs.spending_cap import SpendingCap
from moa_graph.errors import InputError, MoAError
from moa_graph.evals.data.files import require_writable
from moa_graph.evals.judge import Judge, how_to_read
from moa_graph.evals.prompts.grade import Match, command_of, require_check
from moa_graph.evals.prompts.run import PARAMETERS, PromptsWork
from moa_graph.evals.systems.mixture import ModelSystem
from moa_graph.evals.systems.paid_calls import Payer
from moa_graph.evals.tune.decide import Decider
from moa_graph.evals.tune.files import open_folder, write_files
from moa_graph.evals.tune.grading import Grader, Grading, check_of
from moa_graph.evals.tune.prepare import How, Prepared, dollars_per_call, dollars_per_prompt, prepare
from moa_graph.evals.tune.result import TuneResult
from moa_graph.evals.tune.sampling import Paying, Sampled, sample
from moa_graph.evals.tune.settings import Options, StageProgress, ledger_path, reader_of
from moa_graph.evals.tune.shared_ledger import SharedLedger
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models import registry

__all__ = ["atune", "run", "tune"]

DRAFTS_SHARE = 0.7
"""The share of the cap that drafts may take; the rest is for candidates whose last step is paid."""


async def atune(
    prompts: str | Path | Sequence[Any],
    *,
    pool: Any,
    check: str | Callable[..., Any] | None = None,
    judge: str | Proposer | Sequence[str | Proposer] | None = None,
    criteria: str | None = None,
    match: Match | None = None,
    progress: StageProgress | None = None,
    **options: Any,
) -> TuneResult:
    """Find out whether a mixture is worth it, and which one, inside an event loop.

    Args:
        prompts: A file as `moa eval run` takes it, or a list of such rows.
        pool: The models: a list, a file, or a `Pool`.
        check: A command, or a function of (prompt, text) that returns True, False or a score from 0 to 1.
        judge: The models that grade by `criteria`.
        criteria: What a good answer is, for prompts without criteria of their own.
        match: How an answer is compared with `gold`.
        progress: Receives the progress of each stage.
        **options: Fields of `Options`.

    Returns:
        What `tune` returns.

    Raises:
        InputError: The prompts, an option or a way of grading cannot be used.
        ConfigError: The pool cannot be used, a key or a price is missing, or the ledger cannot be written.
    """
    if check is not None and not isinstance(check, str) and not callable(check):
        raise InputError(f"check: {check!r} is neither a command nor a function of (prompt, text)")
    for name, value, kinds in (("judge", judge, str | Proposer | list | tuple), ("criteria", criteria, str)):
        if value is not None and not isinstance(value, kinds):
            raise InputError(f"{name}: {value!r} is not {'a model or a list of models' if name == 'judge' else 'text'}")
    judges = [] if judge is None else [judge] if isinstance(judge, str | Proposer) else list(judge)
    specs = [each if isinstance(each, Proposer) else Proposer(model=each) for each in judges]
    how = How(match=match, check=check, judges=specs, criteria=criteria)
    unknown = set(options) - {field.name for field in dataclasses.fields(Options)}
    if unknown:
        raise InputError(f"tune: unknown option {sorted(unknown)[0]!r}")
    paths = {name: _path(name, options[name]) for name in ("out", "ledger") if options.get(name) is not None}
    return await run(prepare(prompts, pool, how, Options(**{**options, **paths})), progress=progress)


def _path(name: str, given: Any) -> Path:
    if not isinstance(given, str | Path):
        raise InputError(f"{name}: {given!r} is not a path")
    return Path(given)


def tune(prompts: str | Path | Sequence[Any], *, pool: Any, **given: Any) -> TuneResult:
    """Find out whether a mixture is worth it on your prompts, and which one.

        result = tune("prompts.jsonl", pool=["openai:gpt-6.1-sol", "together:zai-org/GLM-5.3"], max_cost=5)
        print(result.sentence)
        graph = create_moa(result.mixture)

    Args:
        prompts: A file as `moa eval run` takes it, or a list of such rows.
        pool: The models: a list, a file, or a `Pool`.
        **given: `check`, a command or a function of (prompt, text) that returns True, False or a score from 0 to 1;
            `judge` with `criteria`; `match`; `progress`; and the fields of `Options`: `samples`, `max_cost`, `limit`,
            `seed`, `worth`, `concurrency`, `paid`, `sweep`, `out`, `ledger`.

    Returns:
        The verdict, all candidates with their figures, and the mixture to use.

    Raises:
        InputError: The prompts, an option or a way of grading cannot be used.
        ConfigError: The pool cannot be used, a key or a price is missing, or the ledger cannot be written.
    """
    if _in_a_loop():
        raise InputError("tune: this thread runs an event loop; use `await atune(...)` there")
    return asyncio.run(atune(prompts, pool=pool, **given))


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def run(prepared: Prepared, *, progress: StageProgress | None = None) -> TuneResult:
    """Sample, measure and decide; write the files when a folder was named.

    Args:
        prepared: The run, from `prepare`.
        progress: Receives the progress of each stage.

    Raises:
        ConfigError: A price is unknown although a cap is set, the folder is another run's, another process works in it,
            or the ledger cannot be written.
        MoAError: No draft could be had or graded, or a check refused all of them.
        InputError: The check cannot run.
    """
    options = prepared.options
    expected = dollars_per_prompt(prepared)
    for spec in (*prepared.pool.models, *prepared.pool.aggregators, *prepared.how.judges):
        if isinstance(spec.model, str) and not is_embedded(spec):
            # LangChain alone knows some providers, and refuses an unknown one when a model is made.
            registry.chat_model(spec)
    if isinstance(prepared.how.check, str):
        await require_check(command_of(prepared.how.check), seconds=prepared.how.check_seconds)
    if options.out is None:
        return await _run(prepared, expected, progress)
    require_writable(options.out, f"--out {options.out}")
    with only_run(options.out):
        open_folder(options.out, prepared.run)
        found = await _run(prepared, expected, progress)
        write_files(found, options.out)
        return found


async def _run(prepared: Prepared, expected: float | None, progress: StageProgress | None) -> TuneResult:
    options = prepared.options
    with SharedLedger(options.ledger or ledger_path(), run=prepared.run) as ledger:
        await ledger.check()
        cap = SpendingCap(options.max_cost, expected=expected)
        ledger.expected = dollars_per_call(prepared)
        cap.spent = await ledger.spent()
        payer = Payer(ledger, prepared.pool.deadline, prepared.pool.prices)
        grader = Grader(_grading(prepared, payer))
        paying = Paying(ledger, cap, grader, options.concurrency, progress)
        cap.limit = None if options.max_cost is None else DRAFTS_SHARE * options.max_cost
        sampled = await sample(
            prepared.prompts, prepared.pool, paying, many=options.samples, reader=reader_of(prepared.prompts)
        )
        cap.limit = options.max_cost
        _require_grades(sampled, grader)
        cautions = [*prepared.notes, *_shortfalls(sampled.failures, sampled.skipped)]
        criteria = prepared.how.criteria
        decider = Decider(sampled.samples, sampled.prompts, prepared.pool, options, paying, criteria=criteria)
        found = await decider.decide(prepared.run, cautions=cautions, settings=_asked(prepared))
        if grader.raised:
            said = f"answers that count as wrong because the check raised an error ({grader.refusal}): {grader.raised}"
            found = dataclasses.replace(found, cautions=[*found.cautions, said])
        await ledger.finish()
    return dataclasses.replace(found, spent={"dollars": cap.spent, "unknown": cap.unknown}, folder=options.out)


def _grading(prepared: Prepared, payer: Payer) -> Grading:
    how = prepared.how
    command = command_of(how.check) if isinstance(how.check, str) else None
    judged = bool(how.judges) and any(prompt.criteria or how.criteria for prompt in prepared.prompts)
    judges = [Judge(spec, payer, how_to_read(spec.model, spec.base_url)).under(PARAMETERS) for spec in how.judges]
    work = PromptsWork(
        ModelSystem(prepared.pool.models[0], payer),
        judges if judged else (),
        how.criteria,
        command,
        how.check_seconds,
        majority=how.majority,
    )
    check = check_of(how.check) if callable(how.check) else None
    return Grading(work, check, judged=judged and check is None)


def _shortfalls(failures: Sequence[str], skipped: int) -> list[str]:
    found = [f"prompts left out because of the cap on cost: {skipped}"] if skipped else []
    return [*found, *(f"drafts failed, such as {failures[0]}" for _ in failures[:1])]


def _require_grades(sampled: Sampled, grader: Grader) -> None:
    """Stop before candidates are paid for where the drafts decide nothing.

    Raises:
        MoAError: No draft was received, no draft has a grade, or the check refused all drafts.
    """
    samples, failures = sampled.samples, sampled.failures
    low = f"The cap on cost is too low. Raise it (prompts left out: {sampled.skipped})"
    if len(sampled.prompts) < 2 or samples.missing == samples.scores.size:
        raise MoAError(f"no draft could be had. {failures[0] if failures else low}")
    again = "The drafts are paid and kept; correct this and run again"
    if samples.missing + samples.ungraded == samples.scores.size:
        unread = "no verdict could be read"
        raise MoAError(f"no draft could be graded: {failures[0] if failures else unread}. {again}")
    if grader.refusal is not None and not np.nan_to_num(samples.scores).any():
        said = f"It wrote: {grader.refusal}" if grader.refusal else "It wrote nothing"
        raise MoAError(f"the check refused every draft. {said}. {again}")


def _asked(prepared: Prepared) -> Mapping[str, Any]:
    """Return what the run was asked for, as plain values."""
    options = prepared.options
    return {
        "prompts": len(prepared.prompts),
        "models": [spec.label for spec in prepared.pool.models],
        "aggregators": [spec.label for spec in prepared.pool.aggregators],
        "samples": options.samples,
        "seed": options.seed,
        "worth": options.worth,
        "max_cost": options.max_cost,
        "sweep": {name: list(map(str, values)) for name, values in options.sweep.items()},
        **prepared.how.identity,
    }
