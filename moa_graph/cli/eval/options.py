"""The options that the benchmarks share. (Annotations must not be postponed here, because typer reads them.)"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from moa_graph.errors import InputError

Preset = Annotated[str | None, typer.Option("--preset", "-p", help="Measure a mixture that comes with the package.")]
File = Annotated[Path | None, typer.Option("--file", "-f", help="Measure a mixture of your own: YAML or TOML.")]
Model = Annotated[str | None, typer.Option("--model", "-m", help='Measure one model, as "provider:model".')]
BaseUrl = Annotated[str | None, typer.Option(help="The OpenAI-compatible server of --model.")]
KeyEnv = Annotated[str | None, typer.Option(help="The variable with the key of --base-url.")]
Drafts = Annotated[
    list[Path] | None,
    typer.Option(
        help="Recorded outputs, joined by instruction or id; repeat it. One file alone is judged as it is; "
        "with a model or a mixture they are synthesized instead of fresh drafts."
    ),
]
Judge = Annotated[str | None, typer.Option(help='The judge, as "provider:model", or "none" to generate only.')]
JudgeUrl = Annotated[str | None, typer.Option(help="The OpenAI-compatible server of the judge.")]
JudgeKeyEnv = Annotated[str | None, typer.Option(help="The variable with the key of --judge-url.")]
JudgeTemperature = Annotated[
    float | None, typer.Option(min=0, max=2, help="The judge's temperature; the benchmark's own when left out.")
]
Price = Annotated[
    list[str] | None,
    typer.Option(
        help="MODEL=IN,OUT: dollars per million tokens of a model where no list has them; repeat it. It goes over the "
        "`prices` of a mixture."
    ),
]
Name = Annotated[str | None, typer.Option(help="What the system is called in files and reports.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="The run's folder; begin again there to go on.")]
Limit = Annotated[int | None, typer.Option(min=1, help="So many items, drawn by the seed.")]
Ids = Annotated[str | None, typer.Option(help="These items only: ids with commas between.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the draw and of the order shown.")]
MaxCost = Annotated[float | None, typer.Option(min=0, help="Begin no item that may pass so many dollars.")]
Concurrency = Annotated[
    int | None, typer.Option(min=1, max=1000, help="Items under way at once: 8, or 1 with an embedded model.")
]
Deadline = Annotated[float, typer.Option(min=1, max=86_400, help="Seconds one model call may take.")]
Temperature = Annotated[float | None, typer.Option(min=0, max=2, help="Temperature of every generating call.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="Longest answer of every generating call.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show calls, tokens and price; ask nothing.")]
Intervals = Annotated[bool, typer.Option("--intervals/--no-intervals", help="Leave the intervals out.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else there.")]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the user chose: every field is an option of every benchmark that takes it."""

    preset: Preset = None
    file: File = None
    model: Model = None
    base_url: BaseUrl = None
    api_key_env: KeyEnv = None
    drafts: Drafts = None
    judge: Judge = None
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
    deadline: Deadline = 600.0
    temperature: Temperature = None
    max_tokens: MaxTokens = None
    dry_run: DryRun = False
    intervals: Intervals = True
    as_json: Json = False

    @property
    def chosen_ids(self) -> tuple[str, ...]:
        """The ids, blanks dropped."""
        return tuple(part.strip() for part in (self.ids or "").split(",") if part.strip())

    @property
    def prices(self) -> dict[str, tuple[float, float]]:
        """Dollars per million tokens in and out, by model.

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
            f"--price {entry!r}: write MODEL=IN,OUT, in dollars per million tokens, as openai:mine=0.5,1.5"
        )
    return model, (into, out)


def with_choice(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command whose first parameter is `choice` every option of `Choice` but `without`, after its own."""
    shared = [option for name, option in inspect.signature(Choice).parameters.items() if name not in without]

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(command, eval_str=True).parameters.values()

        @functools.wraps(command)
        def called(**given: Any) -> None:
            choice = Choice(**{option.name: given.pop(option.name) for option in shared})
            command(choice, **given)

        options = [*own, *shared]
        called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what inspect, and so typer, reads
            [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]
        )
        called.__annotations__ = {option.name: option.annotation for option in options}
        return called

    return decorated
