"""`moa ask`: one question, one answer on standard output."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moa_graph.cli.options import (
    Aggregator,
    File,
    Json,
    Layers,
    Preset,
    Proposers,
    ServerGraph,
    System,
    Trust,
    Url,
    chosen,
)
from moa_graph.cli.source import Server, server
from moa_graph.errors import InputError, MoAError

if TYPE_CHECKING:
    from moa_graph.cli.run import Answered, Watcher
    from moa_graph.mixture.context import MoAContext
    from moa_graph.mixture.mixture import Mixture

app = typer.Typer(add_completion=False)
Show = Annotated[bool, typer.Option("--show-drafts", help="Print the drafts before the answer, on standard error.")]
Save = Annotated[Path | None, typer.Option("--save", help="Write question, answer, drafts, record: .html, .md, .json.")]
MaxCost = Annotated[float | None, typer.Option("--max-cost", min=0, help="Most dollars the question may cost.")]
Dry = Annotated[bool, typer.Option("--estimate", help="Say what it would cost; ask nothing.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")]

_WITH_A_KEY = """\
The model that answered has 135 million parameters and runs in this process.
With OPENAI_API_KEY or TOGETHER_API_KEY set, several current models draft and a strong one writes the answer:
`moa presets list` shows the mixtures, `moa ask --estimate "..."` what a question costs.
"""


@app.command()
def ask(
    prompt: Annotated[list[str] | None, typer.Argument(help="The question; standard input is joined to it.")] = None,
    preset: Preset = None,
    file: File = None,
    proposers: Proposers = None,
    aggregator: Aggregator = None,
    layers: Layers = None,
    system: System = None,
    url: Url = None,
    graph: ServerGraph = "moa",
    as_json: Json = False,
    show_drafts: Show = False,
    save: Save = None,
    max_cost: MaxCost = None,
    dry: Dry = False,
    quiet: Quiet = False,
    trust: Trust = False,
) -> None:
    """Answer one question with a mixture.

    Standard output is the answer and nothing else, written as it comes where that is a terminal; progress goes to
    standard error when that is one.
    """
    from moa_graph.cli.export import check_target
    from moa_graph.cli.run import streams

    question = _question(prompt or [])
    if save:
        check_target(save)
    fields: dict[str, Any] = {"layers": layers, "max_cost": max_cost, "stream_answer": not as_json and streams()}
    source: Mixture | Server
    if url:
        source, fields = server(url, graph, preset, file, proposers, dry), {**fields, "aggregator": aggregator}
        fields["system"] = system
    else:
        source = chosen(preset, file, proposers, aggregator, system, trust=trust)
    context = _context(fields)
    if dry and not isinstance(source, Server):
        _estimate(source, question, context, as_json)
        return
    try:
        live = not quiet and sys.stderr.isatty()
        result = _answered(source, question, context, as_json=as_json, live=live, show_drafts=show_drafts)
    except MoAError as exc:
        _keep(save, question, exc)
        raise
    _show(result, question, as_json=as_json, save=save)
    if show_drafts and not quiet:
        _totals(source, result)


def _question(words: list[str]) -> str:
    """The prompt, with what was piped in after it.

    Raises:
        InputError: there is none, or the pipe holds no UTF-8 text.
    """
    parts = [" ".join(words).strip(), _piped().strip()]
    question = "\n\n".join(part for part in parts if part)
    if not question:
        raise InputError('there is no question. Write one: moa ask "What is the capital of France?"')
    return question


def _piped() -> str:
    """What a pipe or a file brings on standard input; a terminal or nothing brings nothing."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode)):
            return ""
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as exc:
        raise InputError(f"standard input is not UTF-8 text: {exc.reason} at byte {exc.start}.") from exc
    except (OSError, AttributeError, ValueError):
        return ""  # standard input is closed or replaced


def _context(fields: dict[str, Any]) -> MoAContext:
    from moa_graph.mixture.context import MoAContext

    return MoAContext(**{name: value for name, value in fields.items() if value is not None})


def _estimate(mixture: Mixture, question: str, context: MoAContext, as_json: bool) -> None:
    from langchain_core.messages import HumanMessage

    from moa_graph.costs.budget import estimate
    from moa_graph.mixture.context import settings

    found = estimate(settings(mixture, context), [HumanMessage(question)])
    sys.stdout.write(f"{json.dumps(found._asdict()) if as_json else found}\n")


def _answered(
    source: Mixture | Server, question: str, context: MoAContext, *, as_json: bool, live: bool, show_drafts: bool
) -> Answered:
    from contextlib import nullcontext

    from moa_graph.cli.drafts import DraftPrinter
    from moa_graph.cli.progress import Progress, tell_end
    from moa_graph.cli.run import AnswerPrinter, ask

    printer, drafts = AnswerPrinter(), DraftPrinter() if show_drafts else None
    with Progress() if live else nullcontext() as progress:
        # The table goes first: it has to be off the screen before the first word of the answer.
        watchers: list[Watcher] = [w for w in (progress, drafts, None if as_json else printer) if w is not None]
        result = ask(source, [("user", question)], context, watchers)
    if drafts:
        drafts.finish(result.drafts)  # a server may send no events
    if not as_json:
        printer.finish(result)
    tell_end(result.drafts, result.record, live=live and not show_drafts)
    return result


def _totals(source: Mixture | Server, result: Answered) -> None:
    """Write one line of totals, and what a key would change where only the embedded model answered."""
    from moa_graph.cli.progress import summary
    from moa_graph.mixture.mixture import Mixture
    from moa_graph.mixture.proposer import is_embedded

    sys.stderr.write(f"\n{summary(result.record)}\n")
    if isinstance(source, Mixture) and all(map(is_embedded, source.specs)):
        sys.stderr.write(_WITH_A_KEY)


def _show(result: Answered, question: str, *, as_json: bool, save: Path | None) -> None:
    from moa_graph.cli.export import save as write

    whole: dict[str, Any] = result._asdict()
    if as_json:
        sys.stdout.write(json.dumps(whole, ensure_ascii=False) + "\n")
    if save:
        write(save, question, whole)


def _keep(save: Path | None, question: str, error: MoAError) -> None:
    """Drafts that were paid for are kept although the answer failed."""
    if not error.drafts:
        return
    if save:
        from moa_graph.cli.export import save as write

        write(save, question, {"answer": None, "error": str(error), "drafts": error.drafts, "record": None})
        sys.stderr.write(f"the {len(error.drafts)} drafts are in {save}\n")
    else:
        sys.stderr.write(f"{len(error.drafts)} drafts are lost with this failure; --save FILE keeps them\n")
