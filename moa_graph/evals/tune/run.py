"""`tune`: from prompts and a pool of models to a decision."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moa_graph.costs.budget import ANSWER_TOKENS, Estimate, expected_calls, sum_of
from moa_graph.costs.prices import price
from moa_graph.costs.spending_cap import SpendingCap
from moa_graph.costs.tokens import tokens
from moa_graph.errors import ConfigError, InputError, MoAError
from moa_graph.evals.judge import Judge, how_to_read
from moa_graph.evals.judge_family import warning
from moa_graph.evals.prompts.grade import Match, command_of
from moa_graph.evals.prompts.questions import OwnPrompt
from moa_graph.evals.prompts.run import PARAMETERS, PromptsWork
from moa_graph.evals.systems.mixture import ModelSystem, messages
from moa_graph.evals.systems.paid_calls import Payer
from moa_graph.evals.tune.decide import Decider
from moa_graph.evals.tune.files import open_folder, write_files
from moa_graph.evals.tune.grading import JUDGE_FRAME, Grader, Grading, check_of
from moa_graph.evals.tune.mixtures import mixture_of
from moa_graph.evals.tune.pool import Pool, names_of
from moa_graph.evals.tune.result import TuneResult
from moa_graph.evals.tune.sampling import Paying, one_model, sample
from moa_graph.evals.tune.settings import (
    Options,
    StageProgress,
    check_options,
    ledger_path,
    read_prompts,
    reader_of,
    run_hash,
)
from moa_graph.evals.tune.shared_ledger import SharedLedger
from moa_graph.evals.tune.sweep import grid
from moa_graph.mixture.context import settings
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models import keys, registry
from moa_graph.state import new_usage

__all__ = ["How", "Prepared", "atune", "estimate", "prepare", "tune"]

DRAFTS_SHARE = 0.7
"""The share of the cap that drafts may take; the rest is for candidates whose last step is paid."""


@dataclass(frozen=True)
class How:
    """How answers are graded.

    Attributes:
        match: How answers are compared with the right ones where a prompt does not say.
        check: A command that reads the answer from standard input, or a function of the prompt and the text.
        check_seconds: The command's time limit.
        judges: Models that rate answers by `criteria`.
        criteria: What judges rate by where a prompt does not say.
        majority: Whether a jury decides by majority, not by its mean.
    """

    match: Match | None = None
    check: str | Callable[..., Any] | None = None
    check_seconds: float = 10.0
    judges: Sequence[Proposer] = ()
    criteria: str | None = None
    majority: bool = False

    @property
    def identity(self) -> dict[str, Any]:
        """What of it makes another run."""
        check = getattr(self.check, "__qualname__", None) if callable(self.check) else self.check
        judges = [spec.label for spec in self.judges]
        return {"check": check, "judges": judges, "criteria": self.criteria, "majority": self.majority}


@dataclass(frozen=True)
class Prepared:
    """A run that was read and checked; nothing is sent yet."""

    prompts: list[OwnPrompt]
    pool: Pool
    how: How
    options: Options
    run: str
    notes: list[str]


def prepare(prompts: str | Path | Sequence[Any], pool: Any, how: How, options: Options) -> Prepared:
    """Read and check everything that a run needs.

    Args:
        prompts: A file as `moa eval run` takes it, or a list of such rows.
        pool: The models: a list, a file, or a `Pool`.
        how: How drafts are graded.
        options: The options of the run.

    Raises:
        InputError: The prompts, or a way of grading, cannot be used.
        ConfigError: The pool cannot be used, or a key is missing.
    """
    check_options(options)
    loaded = Pool.load(pool)
    found, notes = read_prompts(prompts, options, match=how.match)
    if not callable(how.check):
        _require_grades(found, how)
    if isinstance(how.check, str):
        command_of(how.check)
    specs = [*loaded.models, *loaded.aggregators, *how.judges]
    for spec in specs:
        registry.require_known(spec)
    keys.require_keys(specs, way_out="leave the model out of the pool, the aggregators or the judges")
    registry.require_embedded(spec for spec in specs if is_embedded(spec))
    if options.sweep:
        _check_grid(loaded, options)
    judged = [text for judge in how.judges if (text := warning(judge.label, [spec.label for spec in loaded.models]))]
    run = run_hash(found, loaded, options, how.identity)
    return Prepared(found, loaded, how, options, run, [*notes, *judged])


def _check_grid(pool: Pool, options: Options) -> None:
    """Refuse a sweep with a mixture that cannot be made."""
    writers = pool.aggregators or pool.models
    for plan in grid(options.sweep, pool.names, names_of(writers), depth=options.samples, verify=pool.verify):
        try:
            mixture_of(plan, pool, writers)
        except ConfigError as error:
            raise InputError(f"--sweep {plan.name}: {str(error).replace('mixture.', '')}") from error


def _require_grades(prompts: Sequence[OwnPrompt], how: How) -> None:
    def graded(prompt: OwnPrompt) -> bool:
        return bool(how.check or prompt.gold or (how.judges and (prompt.criteria or how.criteria)))

    if how.judges and not (how.criteria or any(prompt.criteria for prompt in prompts)):
        raise InputError("--judge needs criteria: give --criteria, or `criteria` in the file")
    if without := [prompt.id for prompt in prompts if not graded(prompt)]:
        names = ", ".join(without[:5]) + (" ..." if len(without) > 5 else "")
        raise InputError(
            f"nothing says what is right for {len(without)} of {len(prompts)} prompts ({names}). Give `gold` in the "
            "file, --check, or --judge with `criteria` or --criteria"
        )


def estimate(prepared: Prepared) -> Estimate:
    """Return what the drafts and their verdicts are expected to take; recorded drafts count as new.

    Args:
        prepared: The run, from `prepare`.
    """
    calls = []
    for spec in prepared.pool.models:
        mixture = one_model(spec, prepared.options.samples, prepared.pool)
        for prompt in prepared.prompts:
            calls += expected_calls(settings(mixture, None), messages(prompt.turns))
    judged = [
        call._replace(spec=judge, input_tokens=call.input_tokens + call.output_tokens + JUDGE_FRAME)
        for judge in prepared.how.judges
        for call in calls
    ]
    return sum_of([*calls, *judged], prepared.pool.prices)


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
    judges = [] if judge is None else [judge] if isinstance(judge, str | Proposer) else list(judge)
    specs = [each if isinstance(each, Proposer) else Proposer(model=each) for each in judges]
    how = How(match=match, check=check, judges=specs, criteria=criteria)
    unknown = set(options) - {field.name for field in dataclasses.fields(Options)}
    if unknown:
        raise InputError(f"tune: unknown option {sorted(unknown)[0]!r}")
    paths = {name: Path(options[name]) for name in ("out", "ledger") if options.get(name) is not None}
    return await run(prepare(prompts, pool, how, Options(**{**options, **paths})), progress=progress)


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
        ConfigError: A price is unknown although a cap is set, the folder is another run's, or the ledger cannot be
            written.
        MoAError: No draft could be had.
    """
    options = prepared.options
    expected = _expected(prepared)
    for spec in (*prepared.pool.models, *prepared.pool.aggregators, *prepared.how.judges):
        if isinstance(spec.model, str) and not is_embedded(spec):
            # LangChain alone knows some providers, and refuses an unknown one when a model is made.
            registry.chat_model(spec)
    if options.out:
        open_folder(options.out, prepared.run)
    with SharedLedger(options.ledger or ledger_path(), run=prepared.run) as ledger:
        await ledger.check()
        cap = SpendingCap(options.max_cost, expected=expected)
        ledger.expected = _expected_calls(prepared)
        cap.spent = await ledger.spent()
        payer = Payer(ledger, prepared.pool.deadline, prepared.pool.prices)
        grader = Grader(_grading(prepared, payer))
        paying = Paying(ledger, cap, grader, options.concurrency, progress)
        cap.limit = None if options.max_cost is None else DRAFTS_SHARE * options.max_cost
        sampled = await sample(
            prepared.prompts, prepared.pool, paying, many=options.samples, reader=reader_of(prepared.prompts)
        )
        cap.limit = options.max_cost
        if len(sampled.prompts) < 2 or sampled.samples.missing == sampled.samples.scores.size:
            raise MoAError(f"no draft could be had. {_why(sampled.failures, sampled.skipped)}")
        cautions = [*prepared.notes, *_shortfalls(sampled.failures, sampled.skipped)]
        criteria = prepared.how.criteria
        decider = Decider(sampled.samples, sampled.prompts, prepared.pool, options, paying, criteria=criteria)
        found = await decider.decide(prepared.run, cautions=cautions, settings=_asked(prepared))
        await ledger.finish()
    found = dataclasses.replace(found, spent={"dollars": cap.spent, "unknown": cap.unknown}, folder=options.out)
    if options.out:
        write_files(found, options.out)
    return found


def _expected(prepared: Prepared) -> float | None:
    """Return the dollars that one prompt is expected to take under a cap."""
    if prepared.options.max_cost is None:
        return None
    whole = estimate(prepared)
    if whole.cost is None:
        missing = ", ".join(whole.unpriced)
        raise ConfigError(f"max_cost: the price of {missing} is unknown; give it under `prices` in the pool")
    return whole.cost / len(prepared.prompts)


def _expected_calls(prepared: Prepared) -> dict[str, float]:
    """Return the dollars that a call of each model is expected to cost; empty without a cap."""
    if prepared.options.max_cost is None:
        return {}
    longest = max(prepared.prompts, key=lambda prompt: len(prompt.text))
    # The last step of a candidate reads about five drafts.
    size = 5 * ANSWER_TOKENS + tokens(longest.text)
    specs = [*prepared.pool.models, *prepared.pool.aggregators, *prepared.how.judges]
    costs = {spec.label: price(spec, new_usage(size, ANSWER_TOKENS), prices=prepared.pool.prices) for spec in specs}
    return {label: cost for label, cost in costs.items() if cost}


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


def _why(failures: Sequence[str], skipped: int) -> str:
    return failures[0] if failures else f"The cap on cost is too low. Raise it (prompts left out: {skipped})"


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
