"""`moa batch`: answer thousands of questions from a file into another file."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moa_graph.cli.batch_files import STANDARD, check_files, opened_files, other_mixtures
from moa_graph.cli.batch_options import (
    AT_ONCE,
    POLL,
    BatchDirect,
    BatchHost,
    BatchMode,
    BatchPoll,
    batch_sender,
    check_batch_options,
    goes_in_batches,
    say_route,
)
from moa_graph.cli.complete import files
from moa_graph.cli.garbage import loaded_frozen
from moa_graph.cli.options import (
    Aggregator,
    BaseUrl,
    File,
    KeyEnv,
    Layers,
    MaxTokens,
    Preset,
    Proposers,
    ServerGraph,
    System,
    Temperature,
    Trust,
    Url,
    chosen,
    examples,
)
from moa_graph.cli.output.messages import message
from moa_graph.cli.resumable import resumable
from moa_graph.cli.source import Server, opened, server
from moa_graph.costs.amounts import in_dollars
from moa_graph.errors import InputError

if TYPE_CHECKING:
    from moa_graph.batch import Batch, Totals
    from moa_graph.mixture.mixture import Mixture

app = typer.Typer(add_completion=False)

_SHOWN = 20
"""Maximum number of problems on standard error; the output file has all of them."""


@app.command(
    epilog=examples(
        "moa batch questions.jsonl answers.jsonl --preset together",
        "moa batch --text questions.txt answers.jsonl",
        "cat questions.jsonl | moa batch - - --ledger paid.ledger > answers.jsonl",
    )
)
def batch(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="JSONL: strings, lists of messages, or objects with prompt or messages. - is standard input.",
            autocompletion=files,
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="JSONL: one result per line, in the order of IN. - is standard output, written at the end.",
            autocompletion=files,
        ),
    ],
    text: Annotated[bool, typer.Option("--text", help="IN is plain text with one question per line.")] = False,
    preset: Preset = None,
    file: File = None,
    proposers: Proposers = None,
    aggregator: Aggregator = None,
    base_url: BaseUrl = None,
    api_key_env: KeyEnv = None,
    system: System = None,
    layers: Layers = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    url: Url = None,
    graph: ServerGraph = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", "-c", metavar="NUMBER", min=1, help="Questions at once: 16, or 1 with embedded models."
        ),
    ] = None,
    shard: Annotated[str, typer.Option(metavar="I/N", help="Answer only the I-th of N parts of IN.")] = "1/1",
    max_cost: Annotated[float | None, typer.Option(metavar="DOLLARS", min=0, help="Maximum total cost of OUT.")] = None,
    drafts: Annotated[bool, typer.Option("--drafts", help="Write the drafts as well.")] = False,
    ledger: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The file that stores paid calls (default: OUT.ledger).", autocompletion=files
        ),
    ] = None,
    batch_api: BatchMode = False,
    batch_host: BatchHost = None,
    batch_direct: BatchDirect = False,
    batch_poll: BatchPoll = POLL,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    trust: Trust = False,
) -> int:
    """Answer thousands of questions. A stopped or killed batch resumes when it is run again; recorded calls are free.

    Exits with 1 if a question failed or a line was bad; OUT has the reason.
    """
    from moa_graph.batch import Shard

    check_files(source, target)
    own = {"--preset": preset, "--file": file, "--proposer": proposers, "--base-url": base_url}
    asker: Mixture | Server
    if there := server(url, graph, {**own, "--api-key-env": api_key_env, "--trust": trust}):
        asker = there
    else:
        asker = chosen(preset, file, proposers, aggregator, base_url=base_url, api_key_env=api_key_env, trust=trust)
        aggregator = None
        _warn_replaced(target, asker)
    asked = {"layers": layers, "system": system, "temperature": temperature, "max_tokens": max_tokens}
    asked["aggregator"] = aggregator
    fields: dict[str, Any] = {
        "shard": Shard.parse(shard),
        "concurrency": concurrency or _concurrency(asker),
        "max_cost": max_cost,
        "context": {name: value for name, value in asked.items() if value is not None},
        "keep_drafts": drafts,
    }
    options: dict[str, Any] = {"mode": batch_api, "hosts": batch_host, "direct": batch_direct, "poll": batch_poll}
    check_batch_options(mode=batch_api, hosts=batch_host, direct=batch_direct)
    if batch_api:
        from moa_graph.batch.api import DAY, without_limits

        if isinstance(asker, Server):
            raise InputError("--batch-api: the server makes the calls. Run the batch where the mixture's keys are.")
        asker = without_limits(asker)
        if concurrency is None and goes_in_batches(asker.specs, batch_host):
            fields["concurrency"] = AT_ONCE
        fields["context"] = {**fields["context"], "deadline": DAY}
    with opened_files(source, target, text=text) as (given, results):
        fields |= {"source": given, "target": results}
        path = ledger or results.with_name(results.name + ".ledger")
        with resumable(_way_on(path, kept=bool(ledger) or target != STANDARD)) as runner:
            return runner.run(_run(asker, path, quiet, fields, options))


def _way_on(ledger: Path, *, kept: bool) -> str:
    """Return how a stopped batch is resumed; with answers for standard output the default ledger is temporary."""
    if not kept:
        return "paid calls were not kept: with --ledger FILE the same command could go on"
    return f"paid calls are in {ledger}; the same command goes on from there"


def _warn_replaced(target: Path, mixture: Mixture) -> None:
    """Warn before answers of another mixture are replaced."""
    if others := other_mixtures(target, mixture.hash):
        message(
            f"{target} has answers of another mixture ({', '.join(sorted(others))}). This run replaces them with those "
            f"of {mixture.name or mixture.hash}. To keep them, interrupt this run and choose another OUT."
        )


def _concurrency(asker: Mixture | Server) -> int:
    from moa_graph.mixture.proposer import is_embedded

    # Embedded models answer one call at a time, so further questions would wait until their deadlines expire.
    return 1 if not isinstance(asker, Server) and any(map(is_embedded, asker.specs)) else 16


async def _run(
    asker: Mixture | Server,
    ledger_path: Path,
    quiet: bool,
    fields: dict[str, Any],
    options: dict[str, Any],
) -> int:
    from moa_graph.batch import Batch
    from moa_graph.costs.ledger import Ledger
    from moa_graph.mixture.context import MoAContext

    MoAContext(**fields["context"])  # errors are raised here, before any file is touched
    with Ledger(ledger_path, run="batch") as ledger:
        async with opened(asker, ledger=ledger) as (graph, who):
            api = batch_sender(ledger, **options)
            if api is None:
                return await _watched(Batch(graph=graph, who=who, ledger=ledger, **fields), quiet)
            from moa_graph.batch.api import BatchedGraph

            if not isinstance(asker, Server):
                say_route(api, asker.specs, quiet=quiet)
            async with api.running():
                batched = BatchedGraph(graph, api)
                return await _watched(Batch(graph=batched, who=who, ledger=ledger, **fields), quiet)


async def _watched(work: Batch, quiet: bool) -> int:
    from moa_graph.cli.output.status_line import watch_line
    from moa_graph.models.terminal_text import for_terminal

    begun = time.monotonic()
    watcher = None if quiet else asyncio.create_task(watch_line(lambda seconds: line(work.totals, seconds)))
    try:
        with loaded_frozen():
            totals = await work.run()
    finally:
        if watcher:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher
    for problem in totals.problems[:_SHOWN]:
        typer.echo(for_terminal(problem), err=True)
    if totals.bad and any("not JSON (column 1)" in problem for problem in totals.problems):
        typer.echo("IN is read as JSON, in which strings are quoted. For plain lines: moa batch --text", err=True)
    if totals.failed > _SHOWN:
        typer.echo(f"and {totals.failed - _SHOWN} more: see {work.target}", err=True)
    if len(totals.mixtures) > 1:
        typer.echo("the answers come from several mixtures: the server's mixture changed during the batch", err=True)
    if not quiet:
        typer.echo(summary(totals, time.monotonic() - begun), err=True)
    return 1 if totals.failed else 0


def line(totals: Totals, seconds: float) -> str:
    """Return the progress line after `seconds`. The rate counts only the questions of this run."""
    asked = totals.done - totals.resumed
    rate = asked / seconds if seconds > 0 else 0.0
    left = (totals.lines - totals.done) / rate if rate else None
    speed = f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min"
    parts = [f"{totals.done}/{totals.lines}", speed, money(totals)]
    parts += [f"{clock(left)} left"] if left is not None else []
    parts += [f"{totals.failed} failed"] if totals.failed else []
    return "  ".join(parts)


def summary(totals: Totals, seconds: float) -> str:
    """Return the result in one line."""
    parts = [f"{totals.done - totals.failed} answered"]
    parts += [f"{totals.resumed} of them in earlier runs"] if totals.resumed else []
    parts += [f"{totals.failed} failed"] if totals.failed else []
    parts += [f"{totals.bad} of them bad lines"] if totals.bad else []
    return f"{', '.join(parts)}; {money(totals)}; {clock(seconds)}"


def money(totals: Totals) -> str:
    """Return the cost so far, with the number of questions at unknown cost."""
    unknown = f" and {totals.unpriced} at unknown cost" if totals.unpriced else ""
    if unknown and not totals.cost:
        return "cost unknown"
    return f"{in_dollars(totals.cost) if totals.cost else '$0.0000'}{unknown}"


def clock(seconds: float) -> str:
    """Return a duration as minutes and seconds (`7:05`), from an hour on with the hours (`1:07:05`)."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
