"""Options shared by the benchmarks. (Annotations must not be postponed here, because typer reads them.)"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from moa_graph.cli.batch_options import POLL, BatchDirect, BatchHost, BatchMode, BatchPoll
from moa_graph.cli.options import Trust
from moa_graph.errors import InputError

Preset = Annotated[str | None, typer.Option("--preset", "-p", help="Measure a preset.")]
File = Annotated[Path | None, typer.Option("--file", "-f", help="Measure your own mixture: YAML or TOML.")]
Model = Annotated[str | None, typer.Option("--model", "-m", help='Measure one model, as "provider:model".')]
BaseUrl = Annotated[str | None, typer.Option(help="The OpenAI-compatible server of --model.")]
KeyEnv = Annotated[str | None, typer.Option(help="The environment variable that holds the key of --base-url.")]
Drafts = Annotated[
    list[Path] | None,
    typer.Option(
        help="Recorded outputs, joined by instruction or id; repeatable. One file alone is judged unchanged; "
        "with a model or a mixture, the files replace its drafts and are synthesized."
    ),
]
Judge = Annotated[
    list[str] | None,
    typer.Option(help='The judge, as "provider:model", or "none" to generate only; repeat it for a jury.'),
]
Majority = Annotated[bool, typer.Option("--majority", help="A jury decides by majority, not by its mean.")]
JudgeUrl = Annotated[str | None, typer.Option(help="The OpenAI-compatible server of the judge.")]
JudgeKeyEnv = Annotated[str | None, typer.Option(help="The environment variable that holds the key of --judge-url.")]
JudgeTemperature = Annotated[
    float | None, typer.Option(min=0, max=2, help="The judge's temperature (default: the benchmark's own).")
]
Price = Annotated[
    list[str] | None,
    typer.Option(
        help="MODEL=IN,OUT: dollars per million tokens of a model without a known price; repeatable. Overrides the "
        "`prices` of a mixture."
    ),
]
Name = Annotated[str | None, typer.Option(help="The system's name in files and reports.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="The run's folder; use it again to resume.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Number of items, drawn by the seed.")]
Ids = Annotated[str | None, typer.Option(help="Run only these items: ids separated by commas.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the draw and of the order in which a judge sees answers.")]
MaxCost = Annotated[float | None, typer.Option(min=0, help="Start no item that may exceed this total cost in dollars.")]
Concurrency = Annotated[
    int | None,
    typer.Option(
        min=1, max=10_000, help="Items that run at once: 8, 1 with an embedded model, or 10,000 with --batch-api."
    ),
]
Deadline = Annotated[
    float,
    typer.Option(min=1, max=86_400, help="Time limit of one model call in seconds; a mixture's own does not apply."),
]
Temperature = Annotated[float | None, typer.Option(min=0, max=2, help="Temperature of every generating call.")]
MaxTokens = Annotated[
    int | None, typer.Option(min=1, help="Maximum answer length of every generating call, in tokens.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print calls, tokens and price; send nothing.")]
Intervals = Annotated[bool, typer.Option("--intervals/--no-intervals", help="Compute intervals.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output and nothing else.")]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The user's options. Every field is an option of every benchmark that accepts it."""

    preset: Preset = None
    file: File = None
    model: Model = None
    base_url: BaseUrl = None
    api_key_env: KeyEnv = None
    drafts: Drafts = None
    judge: Judge = None
    majority: Majority = False
    judge_url: JudgeUrl = None
    judge_key_env: JudgeKeyEnv = None
    judge_temperature: JudgeTemperature = None
    price: Price = None
    name: Name = None
    out: Out = None
    limit: Limit = None
    ids: Ids = None
    seed: Seed = 0
    max_cost: MaxCost = None
    concurrency: Concurrency = None
    batch_api: BatchMode = False
    batch_host: BatchHost = None
    batch_direct: BatchDirect = False
    batch_poll: BatchPoll = POLL
    deadline: Deadline = 600.0
    temperature: Temperature = None
    max_tokens: MaxTokens = None
    dry_run: DryRun = False
    intervals: Intervals = True
    as_json: Json = False
    trust: Trust = False

    @property
    def chosen_ids(self) -> tuple[str, ...]:
        """The ids, without blanks."""
        return tuple(part.strip() for part in (self.ids or "").split(",") if part.strip())

    @property
    def prices(self) -> dict[str, tuple[float, float]]:
        """Dollars per million input and output tokens, by model.

        Raises:
            InputError: An entry is not MODEL=IN,OUT with two numbers.
        """
        return dict(map(_price, self.price or ()))


def _price(entry: str) -> tuple[str, tuple[float, float]]:
    model, _, rates = entry.rpartition("=")
    try:
        into, out = map(float, rates.split(","))
    except ValueError:
        into = out = -1.0
    if not (model and 0 <= into < float("inf") and 0 <= out < float("inf")):
        raise InputError(
            f"--price {entry!r}: write MODEL=IN,OUT in dollars per million tokens, for example openai:mine=0.5,1.5"
        )
    return model, (into, out)


def with_choice(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add every option of `Choice` except `without` to a command whose first parameter is `choice`."""
    shared = [option for name, option in inspect.signature(Choice).parameters.items() if name not in without]

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(command, eval_str=True).parameters.values()

        @functools.wraps(command)
        def called(**given: Any) -> None:
            choice = Choice(**{option.name: given.pop(option.name) for option in shared})
            command(choice, **given)

        options = [*own, *shared]
        called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # inspect and typer read this attribute
            [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]
        )
        called.__annotations__ = {option.name: option.annotation for option in options}
        return called

    return decorated
