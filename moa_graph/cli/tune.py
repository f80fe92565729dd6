"""`moa tune`: is a mixture worth it on your own prompts, and which one? (Annotations must not be postponed here.)"""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moa_graph.cli.complete import files, mixture_files
from moa_graph.cli.home import RUNS
from moa_graph.cli.output.messages import output
from moa_graph.cli.output.status_line import StatusLine
from moa_graph.costs.amounts import in_dollars, number_of
from moa_graph.errors import InputError
from moa_graph.mixture.own_presets import resolve

if TYPE_CHECKING:
    from moa_graph.costs.spending_cap import SpendingCap
    from moa_graph.evals.tune.result import TuneResult

app = typer.Typer(add_completion=False)

_SHOW = "show"
_LOG_SECONDS = 10.0

Prompts = Annotated[
    list[str],
    typer.Argument(
        metavar="PROMPTS",
        help="Your prompts, as `moa eval run` takes them; a published set by its name; or a recorded set: a file of "
        "drafts or a folder of answers. `show RUN` prints a finished run.",
        autocompletion=files,
    ),
]
PoolFile = Annotated[
    Path | None,
    typer.Option("--pool", metavar="FILE", help="The models: a pool or a mixture file.", autocompletion=mixture_files),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the mixture to use here (.yaml).")
]
Samples = Annotated[int, typer.Option("--samples", "-k", min=1, max=64, help="Drafts of each model for each prompt.")]
Check = Annotated[
    str | None,
    typer.Option(help="A command that reads the answer from standard input and exits with 0 if it is right."),
]
CheckTimeout = Annotated[float, typer.Option(min=0.1, max=3600, help="Time limit of --check in seconds.")]
Match = Annotated[
    str | None, typer.Option(help="How answers are compared with `gold`: final, exact, number, choice, regex.")
]
Judges = Annotated[
    list[str] | None, typer.Option(help='A judge, as "provider:model", for prompts with criteria; repeat it.')
]
JudgeUrl = Annotated[str | None, typer.Option(help="The OpenAI-compatible server of the judges.")]
JudgeKeyEnv = Annotated[str | None, typer.Option(help="The variable with the key of --judge-url.")]
Criteria = Annotated[str | None, typer.Option(help="What judges rate every answer by.")]
Majority = Annotated[bool, typer.Option("--majority", help="Several judges decide by majority, not by their mean.")]
MaxCost = Annotated[
    float | None, typer.Option(min=0, metavar="DOLLARS", help="Maximum cost of the run, earlier starts of it included.")
]
Worth = Annotated[
    float, typer.Option(min=0, max=100, metavar="POINTS", help="The gain that would make a mixture worth it.")
]
Sweep = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=A,B",
        help="Measure a grid instead: layers=2,3 aggregator=a,b prompt=paper,fenced. Further fields may follow.",
    ),
]
FreeOnly = Annotated[bool, typer.Option("--free-only", help="Pay for drafts (and verdicts) alone.")]
Limit = Annotated[int | None, typer.Option(min=4, help="Number of prompts, drawn by the seed.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the draw, the order of drafts and the splits.")]
Concurrency = Annotated[
    int | None, typer.Option(min=1, max=1000, help="Prompts at once: 8, or 1 with an embedded model.")
]
Out = Annotated[Path | None, typer.Option(help="The run's folder, with the report; use it again to resume.")]
LedgerFile = Annotated[
    Path | None, typer.Option("--ledger", metavar="FILE", help="The drafts of all runs; one file for all by default.")
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Allow the pool file to send the variables it names to its hosts, and to run its check, for this run.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show calls, tokens and price of the drafts; send nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output and nothing else.")]


@app.command()
def tune(
    prompts: Prompts,
    pool: PoolFile = None,
    output: Output = None,
    samples: Samples = 5,
    check: Check = None,
    check_timeout: CheckTimeout = 10.0,
    match: Match = None,
    judge: Judges = None,
    judge_url: JudgeUrl = None,
    judge_key_env: JudgeKeyEnv = None,
    criteria: Criteria = None,
    majority: Majority = False,
    max_cost: MaxCost = None,
    worth: Worth = 5.0,
    sweep: Sweep = None,
    free_only: FreeOnly = False,
    limit: Limit = None,
    seed: Seed = 0,
    concurrency: Concurrency = None,
    out: Out = None,
    ledger: LedgerFile = None,
    trust: Trust = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Find out whether a mixture is worth it on your prompts, and which one; `moa tune show RUN` prints a run."""
    if prompts[0] == _SHOW and not Path(_SHOW).exists():
        _show(prompts[1:], as_json=as_json)
        return
    from moa_graph.evals.data.files import slug, stem
    from moa_graph.evals.prompts.grade import MATCHES
    from moa_graph.evals.tune.pool import Pool
    from moa_graph.evals.tune.prepare import How
    from moa_graph.evals.tune.settings import Options
    from moa_graph.evals.tune.sweep import read_sweep
    from moa_graph.mixture.proposer import Proposer

    compared = next((known for known in MATCHES if known == match), None)
    if match is not None and compared is None:
        raise InputError(f"--match {match}: it must be one of {', '.join(MATCHES)}")
    alone = {"--criteria": criteria, "--judge-url": judge_url, "--judge-key-env": judge_key_env, "--majority": majority}
    if not judge and (given := [name for name, value in alone.items() if value]):
        raise InputError(f"{given[0]} needs a judge: give --judge")
    _check_output(output)
    # What follows the prompts is more of the sweep, so that it reads as one list.
    grid = read_sweep([*(sweep or []), *prompts[1:]] if sweep else [])
    if prompts[1:] and not sweep:
        raise InputError(f"{prompts[1]!r}: give one file of prompts; values to try are written behind --sweep")
    source = Path(prompts[0])
    folder = out or RUNS / f"tune-{slug(stem(source))}"
    options = Options(
        samples=samples, max_cost=max_cost, limit=limit, seed=seed, worth=worth, concurrency=concurrency or 8,
        paid=not free_only, sweep=grid, out=folder, ledger=ledger,
    )  # fmt: skip
    if pool is None:
        graded = {"--check": check, "--match": match, "--judge": judge, "--limit": limit}
        if source.exists() and (given := [name for name, value in graded.items() if value]):
            raise InputError(f"{given[0]} goes with --pool: a recorded set is graded, and all of it is used")
        result: TuneResult | None = _recorded(source, options, dry_run=dry_run)
    else:
        judges = [Proposer(model=name, base_url=judge_url, api_key_env=judge_key_env) for name in judge or ()]
        how = How(compared, check, check_timeout, judges, criteria, majority)
        models = Pool.load(resolve(str(pool)), trust=trust)
        result = _measured(source, models, how, options, concurrency, dry_run, as_json)
    if result is not None:
        _finish(result, output, as_json=as_json)


def _check_output(output: Path | None) -> None:
    if output is None:
        return
    if output.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"--output {output}: a mixture file ends in .yaml or .yml")
    if output.is_dir():
        raise InputError(f"--output {output} is a folder; name a file in it")
    if not output.parent.is_dir():
        raise InputError(f"--output {output}: the folder {output.parent} does not exist; make it first")
    from moa_graph.evals.data.files import require_writable
    from moa_graph.evals.tune.mixtures import is_tuned

    if output.exists() and not is_tuned(output):
        raise InputError(f"--output {output} exists, and moa tune did not write it; remove it or choose another name")
    require_writable(output.parent, f"--output {output}")


def _recorded(source: Path, options: Any, *, dry_run: bool) -> "TuneResult":
    from moa_graph.evals.prompts.bench import OBJECTIVE
    from moa_graph.evals.tune.recorded.read import is_recorded
    from moa_graph.evals.tune.recorded.run import tune_recorded

    if not source.exists() and not source.as_posix().startswith(OBJECTIVE):
        raise InputError(f"{source} does not exist; name a file of prompts, or a recorded set")
    if not source.exists() or not is_recorded(source):
        raise InputError(
            f"--pool is missing: name a file with the models to choose from. ({source} is not a recorded set: it has "
            "no `drafts` with their `model` and `text`. A table with a column for each model needs a row for each "
            "answer instead, with the columns `model`, `question`, `text` and `gold`; lm-eval's samples are read by "
            "their folder)"
        )
    if dry_run or options.sweep:
        raise InputError("a recorded set makes no calls: leave out --dry-run and --sweep")
    with TuneProgress() as progress:
        return asyncio.run(tune_recorded(source, options, progress=progress))


def _measured(
    source: Path, pool: Any, how: Any, options: Any, concurrency: int | None, dry_run: bool, as_json: bool
) -> "TuneResult | None":
    from dataclasses import replace

    from moa_graph.cli.eval.show import table
    from moa_graph.cli.output.messages import output_json
    from moa_graph.cli.resumable import resumable
    from moa_graph.evals.figures import formatted
    from moa_graph.evals.tune.prepare import estimate, prepare
    from moa_graph.evals.tune.run import run
    from moa_graph.evals.tune.settings import ledger_path
    from moa_graph.mixture.proposer import is_embedded

    if concurrency is None and any(map(is_embedded, pool.models)):
        options = replace(options, concurrency=1)
    prepared = prepare(source, pool, how, options, sends=not dry_run)
    if dry_run:
        figures = {"prompts": len(prepared.prompts), **estimate(prepared)._asdict()}
        if as_json:
            output_json(figures)
        else:
            table("drafts, not sampled", ["expected", "value"], [[name, formatted(v)] for name, v in figures.items()])
        return None
    way_on = f"paid calls are in {options.ledger or ledger_path()}; the same command goes on from there"
    with resumable(way_on) as runner, TuneProgress() as progress:
        return runner.run(run(prepared, progress=progress))


def _finish(result: "TuneResult", output: Path | None, *, as_json: bool) -> None:
    from moa_graph.cli.eval.show import print_status
    from moa_graph.cli.output.messages import output_json
    from moa_graph.evals.tune.files import save_mixture

    figures = result.figures()
    if as_json:
        output_json(figures)
    else:
        _print(figures)
    if result.folder is not None:
        print_status(f"files and report: {result.folder}")
    if output is not None:
        save_mixture(result, output)
        print_status(f"mixture: {output} (hash {result.mixture.hash})")


def _show(rest: list[str], *, as_json: bool) -> None:
    from moa_graph.cli.output.messages import output_json
    from moa_graph.evals.tune.files import read_result

    if len(rest) != 1:
        raise InputError("moa tune show RUN: give one run's folder")
    figures, _ = read_result(Path(rest[0]))
    if as_json:
        output_json(figures)
    else:
        _print(figures)


def _print(figures: dict[str, Any]) -> None:
    from moa_graph.cli.eval.show import notes, table
    from moa_graph.evals.tune.report import COLUMNS, candidate_rows, effect_rows

    notes(figures["cautions"])
    table(f"moa tune: {figures['n']} prompts, run {figures['run']}", COLUMNS, candidate_rows(figures))
    if figures["effects"]:
        table("the sweep", *effect_rows(figures))
    output(f"{figures['ceiling']['sentence']}\n\n{figures['sentence']}")


class TuneProgress:
    """Prompts done, rate, dollars and time left of each stage, on standard error."""

    def __init__(self) -> None:
        self.stage, self.total, self.done, self.began = "", 0, 0, time.monotonic()
        self._line = StatusLine(_LOG_SECONDS)

    def __enter__(self) -> "TuneProgress":
        return self

    def __exit__(self, *exc: object) -> None:
        self._line.clear()

    def started(self, stage: str, total: int) -> None:
        """Begin a stage of `total` prompts, or add them to a stage of the same name."""
        if stage == self.stage:
            self.total += total
            return
        self.stage, self.total, self.done, self.began = stage, total, 0, time.monotonic()

    def moved(self, stage: str, cap: "SpendingCap") -> None:
        """Show that one more prompt is finished."""
        self.done += 1
        rate = self.done / max(time.monotonic() - self.began, 1e-6)
        left = (self.total - self.done) / rate
        cost = in_dollars(cap.spent) + (f" of ${cap.limit:g}" if cap.limit is not None else "")
        unknown = f" and cost unknown of {number_of(cap.unknown, 'prompt')}" if cap.unknown else ""
        text = f"{stage}: {self.done}/{self.total}, {rate:.1f}/s, {cost}{unknown}, {left:.0f} s left"
        self._line.show(text, last=self.done == self.total)
