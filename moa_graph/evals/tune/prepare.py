"""What `tune` reads and checks before any request is sent, and what a run is expected to cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moa_graph.costs.budget import ANSWER_TOKENS, Estimate, ExpectedCall, expected_calls, sum_of
from moa_graph.costs.prices import price
from moa_graph.costs.tokens import tokens
from moa_graph.errors import ConfigError, InputError
from moa_graph.evals.judge import JUDGE_FRAME
from moa_graph.evals.judge_family import warning
from moa_graph.evals.prompts.grade import Match, command_of
from moa_graph.evals.prompts.questions import OwnPrompt
from moa_graph.evals.systems.mixture import messages
from moa_graph.evals.tune.mixtures import mixture_of
from moa_graph.evals.tune.pool import Pool, names_of
from moa_graph.evals.tune.sampling import one_model
from moa_graph.evals.tune.settings import Options, check_options, read_prompts, run_hash
from moa_graph.evals.tune.sweep import grid
from moa_graph.mixture.context import settings
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models import registry
from moa_graph.models.secrets import keys
from moa_graph.state import new_usage

__all__ = ["How", "Prepared", "dollars_per_call", "dollars_per_prompt", "estimate", "prepare"]


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


def prepare(
    prompts: str | Path | Sequence[Any], pool: Any, how: How, options: Options, *, sends: bool = True
) -> Prepared:
    """Read and check everything that a run needs.

    Args:
        prompts: A file as `moa eval run` takes it, or a list of such rows.
        pool: The models: a list, a file, or a `Pool`.
        how: How drafts are graded.
        options: The options of the run.
        sends: Whether models are called, so that their keys are needed.

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
    if sends:
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
    calls: list[ExpectedCall] = []
    for spec in prepared.pool.models:
        mixture = one_model(spec, prepared.options.samples, prepared.pool)
        for prompt in prepared.prompts:
            drafts = expected_calls(settings(mixture, None), messages(prompt.turns))
            rated = not callable(prepared.how.check) and (prompt.criteria or prepared.how.criteria)
            judged = [
                call._replace(spec=judge, input_tokens=call.input_tokens + call.output_tokens + JUDGE_FRAME)
                for judge in (prepared.how.judges if rated else ())
                for call in drafts
            ]
            calls += [*drafts, *judged]
    return sum_of(calls, prepared.pool.prices)


def dollars_per_prompt(prepared: Prepared) -> float | None:
    """Return the dollars that the drafts and verdicts of a prompt are expected to take; None without a cap.

    Raises:
        ConfigError: A price is unknown.
    """
    if prepared.options.max_cost is None:
        return None
    whole = estimate(prepared)
    if whole.cost is None:
        missing = ", ".join(whole.unpriced)
        raise ConfigError(f"max_cost: the price of {missing} is unknown; give it under `prices` in the pool")
    return whole.cost / len(prepared.prompts)


def dollars_per_call(prepared: Prepared) -> dict[str, float]:
    """Return the dollars that a call of each model is expected to cost; empty without a cap."""
    if prepared.options.max_cost is None:
        return {}
    longest = max(prepared.prompts, key=lambda prompt: len(prompt.text))
    # The last step of a candidate reads about five drafts.
    size = 5 * ANSWER_TOKENS + tokens(longest.text)
    specs = [*prepared.pool.models, *prepared.pool.aggregators, *prepared.how.judges]
    costs = {spec.label: price(spec, new_usage(size, ANSWER_TOKENS), prices=prepared.pool.prices) for spec in specs}
    return {label: cost for label, cost in costs.items() if cost}
