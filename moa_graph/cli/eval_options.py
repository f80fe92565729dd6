"""The options that the three benchmarks share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

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
Name = Annotated[str | None, typer.Option(help="What the system is called in files and reports.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="The run's folder; begin again there to go on.")]
Limit = Annotated[int | None, typer.Option(min=1, help="So many items, drawn by the seed.")]
Ids = Annotated[str | None, typer.Option(help="These items only: ids with commas between.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the draw, the order shown and the resampling.")]
MaxCost = Annotated[float | None, typer.Option(min=0, help="Begin no item that may pass so many dollars.")]
Concurrency = Annotated[
    int | None, typer.Option(min=1, max=1000, help="Items under way at once: 8, or 1 with an embedded model.")
]
Deadline = Annotated[float, typer.Option(min=1, max=86_400, help="Seconds one model call may take.")]
Temperature = Annotated[float | None, typer.Option(min=0, max=2, help="Temperature of every generating call.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="Longest answer of every generating call.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show calls, tokens and price; ask nothing.")]
Resamples = Annotated[int, typer.Option(min=0, max=100_000, help="Bootstrap resamples; 0 leaves intervals out.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else there.")]


@dataclass(frozen=True)
class Choice:
    """What the user asked for, the same for every benchmark."""

    preset: str | None
    file: Path | None
    model: str | None
    base_url: str | None
    api_key_env: str | None
    drafts: list[Path]
    judge: str | None
    judge_url: str | None
    judge_key_env: str | None
    name: str | None
    out: Path | None
    limit: int | None
    ids: tuple[str, ...]
    seed: int
    max_cost: float | None
    concurrency: int | None
    deadline: float
    temperature: float | None
    max_tokens: int | None
    dry_run: bool
    resamples: int
    as_json: bool


def split_ids(text: str | None) -> tuple[str, ...]:
    """Ids with commas between, blanks dropped."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
