"""Run one benchmark: system, judge, folder, progress, report."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moa_graph.batch.api import DAY, BatchApi, without_limits
from moa_graph.cli.batch_options import AT_ONCE, batch_sender, check_batch_options, goes_in_batches, say_route
from moa_graph.cli.eval.options import Choice
from moa_graph.cli.eval.progress import ItemProgress
from moa_graph.cli.eval.show import figures_table, notes, print_status, table
from moa_graph.cli.garbage import loaded_frozen
from moa_graph.cli.home import RUNS
from moa_graph.cli.output.messages import output_json
from moa_graph.cli.resumable import resumable
from moa_graph.costs.amounts import number_of
from moa_graph.costs.ledger import Ledger
from moa_graph.errors import BudgetError, ConfigError, InputError, MoAError
from moa_graph.evals import estimate, session
from moa_graph.evals.alpaca_eval import run as alpaca_run
from moa_graph.evals.benchmarks import Setup
from moa_graph.evals.data.files import slug, stem
from moa_graph.evals.engine import RunOptions
from moa_graph.evals.figures import formatted
from moa_graph.evals.judge import Judge, how_to_read
from moa_graph.evals.manifest import read as read_manifest
from moa_graph.evals.reports import langsmith as tracking
from moa_graph.evals.reports import run_report as report
from moa_graph.evals.session import Benchmark
from moa_graph.evals.systems.mixture import MixtureSystem, ModelSystem, System
from moa_graph.evals.systems.paid_calls import Payer
from moa_graph.evals.systems.recorded import RecordedOutputs, RecordedSystem, SynthesisSystem
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models import registry
from moa_graph.models.secrets import keys

DEFAULT_JUDGE, KEYLESS_JUDGE = "openai:gpt-4.1-2025-04-14", "local:smollm2"


def start(name: str, choice: Choice, build: Callable[[Setup], Benchmark[Any]]) -> session.FinishedRun | None:
    """Run one benchmark with the user's options; return None if only its cost is estimated."""
    check_batch_options(mode=choice.batch_api, hosts=choice.batch_host, direct=choice.batch_direct)
    mixture = _mixture(choice)
    label = choice.name or _system_name(choice, mixture)
    folder = choice.out or RUNS / f"{name}-{slug(label)}"
    with Ledger(folder / session.LEDGER, run=name) as ledger:
        payer = Payer(ledger, choice.deadline, mixture.prices if mixture else choice.prices)
        system, judges = _system(choice, mixture, ledger, payer, label), _judges(choice, payer)
        specs = [*system.specs, *(judge.spec for judge in judges)]
        options = RunOptions(
            folder,
            choice.limit,
            choice.chosen_ids,
            choice.seed,
            choice.max_cost,
            items_at_once(choice, specs),
            choice.intervals,
        )
        bench = build(
            Setup(system, judges, options, payer, choice.majority, choice.temperature, choice.max_tokens, print_status)
        )
        if choice.dry_run:
            dry_run(bench, choice, payer)
            return None
        keys.require_keys(specs, way_out="choose another model or judge: `local:smollm2` needs no key")
        registry.require_embedded(spec for spec in specs if is_embedded(spec))
        with resumable(f"paid calls are in {folder}; the same command goes on from there") as runner:
            outcome = runner.run(run_benchmark(bench, options, choice, payer))
    _finish(bench, outcome, choice)
    return outcome


def _mixture(choice: Choice) -> Mixture | None:
    """Return the measured mixture, or the one whose aggregator synthesizes drafts; None for a model or plain drafts."""
    if choice.model and (choice.preset or choice.file):
        raise InputError("--model is one model, --preset and --file are mixtures: use only one of them")
    if choice.model or (choice.drafts and not (choice.preset or choice.file)):
        return None
    from moa_graph.cli.options import chosen

    mixture = chosen(preset=choice.preset, file=choice.file, trust=choice.trust)
    mixture = without_limits(mixture) if choice.batch_api else mixture
    given = {name: list(rates) for name, rates in choice.prices.items()}
    return mixture.changed(prices={**mixture.prices, **given}) if given else mixture


def _system_name(choice: Choice, mixture: Mixture | None) -> str:
    base = choice.model or (mixture.name or mixture.hash if mixture else "")
    drafts = "+".join(map(stem, choice.drafts or ()))
    return " on ".join(part for part in (base, drafts) if part) or "system"


def items_at_once(choice: Choice, specs: Sequence[Proposer]) -> int:
    """Return how many items run at once. Through a Batch API all of them do, so that a layer is one batch."""
    if choice.concurrency:
        return choice.concurrency
    if choice.batch_api and goes_in_batches(specs, choice.batch_host):
        return AT_ONCE
    return 1 if any(map(is_embedded, specs)) else 8


def _system(choice: Choice, mixture: Mixture | None, ledger: Ledger, payer: Payer, label: str) -> System:
    spec = _spec(choice.model, choice.base_url, choice.api_key_env) if choice.model else None
    deadline = DAY if choice.batch_api else choice.deadline
    if choice.drafts:
        read = [RecordedOutputs.read(path) for path in choice.drafts]
        if spec:
            mixture = Mixture(proposers=[spec], aggregator=spec, prices={k: list(v) for k, v in choice.prices.items()})
        if mixture:
            return SynthesisSystem(read, mixture, ledger, name=label, deadline=deadline)
        if len(read) > 1:
            raise InputError("several files of drafts need a model (or a mixture's aggregator) to synthesize them")
        return RecordedSystem(read[0], name=label)
    if mixture:
        return MixtureSystem(mixture, ledger, name=label, deadline=deadline)
    assert spec is not None
    return ModelSystem(spec, payer, name=label)


def _spec(model: str, base_url: str | None, key: str | None, **settings: Any) -> Proposer:
    spec = Proposer(model=model, base_url=base_url, api_key_env=key, **settings)
    registry.require_known(spec)
    return spec


def _judges(choice: Choice, payer: Payer) -> list[Judge]:
    """Return the judges: none for "none", several for a jury.

    Raises:
        InputError: A judge is named twice, or "none" beside others.
    """
    names = choice.judge or [_default_judge()]
    if len(set(names)) < len(names):
        raise InputError(f"--judge {next(n for n in names if names.count(n) > 1)} is given twice: a jury needs others")
    if "none" in names:
        if len(names) > 1:
            raise InputError('--judge none is given beside other judges: leave out "none" or the others')
        return []
    if choice.majority and len(names) < 2:
        raise InputError("--majority needs several judges: repeat --judge")
    return [judge_of(name, choice, payer) for name in names]


def _default_judge() -> str:
    name = DEFAULT_JUDGE if keys.environment("OPENAI_API_KEY") else KEYLESS_JUDGE
    print_status(f"judge: {name}; use --judge to choose another")
    if name == KEYLESS_JUDGE:
        print_status("no provider key is set: the small embedded model judges, and its verdicts are meaningless")
    return name


def judge_of(name: str, choice: Choice, payer: Payer) -> Judge:
    """Return a judge at the address and temperature that the user chose for judges."""
    # A field that is set here takes precedence over the benchmark's own parameters.
    warmth = {} if choice.judge_temperature is None else {"temperature": choice.judge_temperature}
    spec = _spec(name, choice.judge_url, choice.judge_key_env, **warmth)
    return Judge(spec, payer, how_to_read(name, choice.judge_url))


def dry_run(bench: Benchmark[Any], choice: Choice, payer: Payer) -> None:
    api = _batch_api(choice, payer)
    hosts = api.hosts if api else frozenset()
    expected = estimate.of_run(bench, max_tokens=choice.max_tokens, prices=payer.prices, batch_hosts=hosts)
    figures = {"items": len(bench.items), **expected._asdict()}
    if choice.as_json:
        return output_json(figures)
    return table(f"{bench.name}, not run", ["expected", "value"], [[k, formatted(v)] for k, v in figures.items()])


async def run_benchmark(
    bench: Benchmark[Any], options: RunOptions, choice: Choice, payer: Payer
) -> session.FinishedRun:
    expected = None
    if options.max_cost is not None:
        whole = estimate.of_run(bench, max_tokens=choice.max_tokens, prices=payer.prices)
        if whole.cost is None:
            missing = ", ".join(whole.unpriced)
            raise ConfigError(f"--max-cost: the price of {missing} is unknown; use --price, or `prices` in a mixture")
        expected = whole.cost / max(1, len(bench.items))
    api = _batch_api(choice, payer)
    if api:
        say_route(api, session.specs_of(bench))
    with loaded_frozen(), ItemProgress(len(bench.items)) as progress:
        outcome = await session.run(
            bench, options, expected_cost=expected, notify=progress.moved, api=api, ledger=payer.ledger
        )
    if tracking.wanted() and bench.name in tracking.BENCHMARKS:
        if any(getattr(item, "confidential", False) for item in bench.items):
            print_status("LangSmith: not published, because the authors of the questions ask not to publish them")
        else:
            await _publish(bench, outcome)
    return outcome


def _batch_api(choice: Choice, payer: Payer) -> BatchApi | None:
    return batch_sender(
        payer.ledger,
        mode=choice.batch_api,
        hosts=choice.batch_host,
        direct=choice.batch_direct,
        poll=choice.batch_poll,
    )


async def _publish(bench: Benchmark[Any], outcome: session.FinishedRun) -> None:
    from langsmith import Client

    examples = tracking.examples(bench, outcome.done)
    try:
        # LangSmith prints a link; standard output is reserved for the result.
        with contextlib.redirect_stdout(sys.stderr):
            name = await tracking.publish(
                Client(),
                benchmark=bench.name,
                experiment=f"{bench.name}-{slug(bench.system.name)}",
                examples=examples,
                metadata=_metadata(outcome),
            )
    except Exception as error:  # the run is finished and its files are written, so no error of LangSmith may fail it
        print_status(f"warning: the LangSmith experiment was not published: {type(error).__name__}: {error}")
    else:
        print_status(f"LangSmith experiment: {name}")


def _metadata(outcome: session.FinishedRun) -> dict[str, Any]:
    """Return the run's identity for LangSmith: judge, models, mixture, reference, selection and version."""
    manifest = read_manifest(outcome.folder)
    names = (
        "benchmark",
        "system",
        "models",
        "judge",
        "settings",
        "reference",
        "data",
        "selection",
        "versions",
        "batch_api",
    )
    return {**{name: manifest[name] for name in names}, "seed": outcome.scores["seed"]}


def _finish(bench: Benchmark[Any], outcome: session.FinishedRun, choice: Choice) -> None:
    annotations = outcome.rows.get(alpaca_run.ANNOTATIONS, [])
    manifest = read_manifest(outcome.folder)
    page = report.of_run(outcome.scores, outcome.timing, outcome.failures, annotations, outcome.degraded, manifest)
    page.write(outcome.folder)
    notes(outcome.scores["warnings"])
    for kind, counts in (("degraded", outcome.degraded), ("failed", _by_reason(outcome.failures))):
        for reason, times in list(counts.items())[:5]:
            print_status(f"{kind}: {reason}" + (f" ({times} times)" if times > 1 else ""))
    if skipped := outcome.scores["skipped_for_cost"]:
        print_status(f"skipped: {number_of(skipped, 'item')} that might have exceeded --max-cost")
    if choice.as_json:
        output_json(outcome.scores)
    else:
        hidden = report.OWN_TABLES - {"categories", "skills"}
        figures_table(f"{bench.name}: {bench.system.name}", outcome.scores, hidden=hidden)
    print_status(f"files and report: {outcome.folder}")
    if not outcome.scores["answered"]:
        if skipped == outcome.scores["items"]:
            raise BudgetError(
                "--max-cost is less than one item is expected to cost, so nothing was sent. --dry-run shows the price "
                "of all items; raise the cap"
            )
        raise MoAError("there are no answers; the report has the reasons. Run again to retry")
    if bench.judges and not _judged(outcome.scores):
        raise MoAError(
            f"there is no readable verdict of {outcome.scores['judge']}, so there are no figures; the report has the "
            "reasons. The answers are kept: running again calls only the judge"
        )


def _by_reason(failures: Sequence[str]) -> dict[str, int]:
    """Return failures by reason, the most frequent first. A fault that affects every item is one line."""
    return dict(Counter(text.partition(": ")[2] for text in failures).most_common())


def _judged(scores: Mapping[str, Any]) -> bool:
    """Return whether any verdict could be read."""
    pairs = scores.get("pairwise", {})
    return any([scores.get("n"), *(pairs.get(kind) for kind in ("wins", "losses", "ties"))])
