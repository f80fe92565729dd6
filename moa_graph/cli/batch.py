"""`moa batch`: thousands of questions from a file, answered into another."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moa_graph.cli.options import Aggregator, File, Layers, Preset, Proposers, ServerGraph, System, Trust, Url, chosen
from moa_graph.cli.source import Server, opened, server
from moa_graph.errors import InputError

if TYPE_CHECKING:
    from moa_graph.batch import Batch, Totals
    from moa_graph.mixture.mixture import Mixture

app = typer.Typer(add_completion=False)

_SHOWN = 20
"""Problems told on standard error; the output has all of them."""


@app.command()
def batch(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="JSONL: texts, lists of messages, or objects with prompt or messages.")
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="JSONL: one result a line, in the order of IN.")],
    preset: Preset = None,
    file: File = None,
    proposers: Proposers = None,
    aggregator: Aggregator = None,
    system: System = None,
    layers: Layers = None,
    temperature: Annotated[float | None, typer.Option(help="Sampling temperature of every call.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer of every call, in tokens.")] = None,
    url: Url = None,
    graph: ServerGraph = "moa",
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", "-c", min=1, help="Questions at once: 16, or 1 on embedded models.")
    ] = None,
    shard: Annotated[str, typer.Option(help="i/n: the i-th of n parts of IN.")] = "1/1",
    max_cost: Annotated[float | None, typer.Option(min=0, help="Dollars that OUT may cost in all.")] = None,
    drafts: Annotated[bool, typer.Option("--drafts", help="Write the drafts too.")] = False,
    ledger: Annotated[Path | None, typer.Option(help="Where paid calls are kept; else OUT.ledger.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    trust: Trust = False,
) -> int:
    """Answer thousands of questions. Stopped or killed, it goes on when it is run again: nothing is paid twice.

    Ends with 1 when a question failed or a line was bad; each says so in OUT.
    """
    from moa_graph.batch import Shard

    if not source.is_file():
        raise InputError(f"{source}: no such file.")
    if url:
        asker: Mixture | Server = server(url, graph, preset, file, proposers)
    else:
        asker, aggregator = chosen(preset, file, proposers, aggregator, trust=trust), None
    asked = {"layers": layers, "system": system, "temperature": temperature, "max_tokens": max_tokens}
    asked["aggregator"] = aggregator
    fields: dict[str, Any] = {
        "source": source,
        "target": target,
        "shard": Shard.parse(shard),
        "concurrency": concurrency or _concurrency(asker),
        "max_cost": max_cost,
        "context": {name: value for name, value in asked.items() if value is not None},
        "keep_drafts": drafts,
    }
    return asyncio.run(_run(asker, ledger or target.with_name(target.name + ".ledger"), quiet, fields))


def _concurrency(asker: Mixture | Server) -> int:
    from moa_graph.mixture.proposer import is_embedded

    # Embedded models answer one call at a time: more questions at once would wait until their deadlines pass.
    return 1 if not isinstance(asker, Server) and any(map(is_embedded, asker.specs)) else 16


async def _run(asker: Mixture | Server, ledger_path: Path, quiet: bool, fields: dict[str, Any]) -> int:
    from moa_graph.batch import Batch
    from moa_graph.costs.ledger import Ledger
    from moa_graph.mixture.context import MoAContext

    MoAContext(**fields["context"])  # refused here, before a file is touched
    with Ledger(ledger_path, run="batch") as ledger:
        async with opened(asker, ledger=ledger) as (graph, who):
            return await _watched(Batch(graph=graph, who=who, ledger=ledger, **fields), quiet)


async def _watched(work: Batch, quiet: bool) -> int:
    from moa_graph.cli.drafts import plain
    from moa_graph.cli.progress import watch_line

    begun = time.monotonic()
    watcher = None if quiet else asyncio.create_task(watch_line(lambda seconds: line(work.totals, seconds)))
    try:
        totals = await work.run()
    finally:
        if watcher:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher
    for problem in totals.problems[:_SHOWN]:
        typer.echo(plain(problem), err=True)
    if totals.failed > _SHOWN:
        typer.echo(f"and {totals.failed - _SHOWN} more: see {work.target}", err=True)
    if len(totals.mixtures) > 1:
        typer.echo("the answers come from several mixtures: the server's has changed since the first of them", err=True)
    if not quiet:
        typer.echo(summary(totals, time.monotonic() - begun), err=True)
    return 1 if totals.failed else 0


def line(totals: Totals, seconds: float) -> str:
    """Where the batch is after `seconds`: its rate counts what this run asked, not what an earlier one had."""
    asked = totals.done - totals.resumed
    rate = asked / seconds if seconds > 0 else 0.0
    left = (totals.lines - totals.done) / rate if rate else None
    speed = f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min"
    parts = [f"{totals.done}/{totals.lines}", speed, money(totals)]
    parts += [f"{clock(left)} left"] if left is not None else []
    parts += [f"{totals.failed} failed"] if totals.failed else []
    return "  ".join(parts)


def summary(totals: Totals, seconds: float) -> str:
    """What came of it, in one line."""
    parts = [f"{totals.done - totals.failed} answered"]
    parts += [f"{totals.resumed} of them earlier"] if totals.resumed else []
    parts += [f"{totals.failed} failed"] if totals.failed else []
    parts += [f"{totals.bad} of them bad lines"] if totals.bad else []
    return f"{', '.join(parts)}; {money(totals)}; {clock(seconds)}"


def money(totals: Totals) -> str:
    """The cost so far; an unknown part is said to be unknown."""
    unknown = f" and {totals.unpriced} at unknown cost" if totals.unpriced else ""
    return "cost unknown" if unknown and not totals.cost else f"${totals.cost:.4f}{unknown}"


def clock(seconds: float) -> str:
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
