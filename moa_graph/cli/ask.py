"""`moa ask`: answer one question on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moa_graph.cli.complete import files
from moa_graph.cli.errors import error_text
from moa_graph.cli.options import (
    Aggregator,
    BaseUrl,
    Continue,
    File,
    Json,
    KeyEnv,
    Layers,
    MaxTokens,
    Preset,
    Proposers,
    Quiet,
    Raw,
    ServerGraph,
    System,
    Temperature,
    Trust,
    Url,
    chosen,
    examples,
)
from moa_graph.cli.output.messages import message, output
from moa_graph.cli.source import Server, server
from moa_graph.costs.amounts import number_of
from moa_graph.errors import InputError, MoAError

if TYPE_CHECKING:
    from moa_graph.cli.run import Answered, View
    from moa_graph.costs.receipt import Receipt
    from moa_graph.mixture.context import MoAContext
    from moa_graph.mixture.mixture import Mixture

app = typer.Typer(add_completion=False)
Show = Annotated[
    bool, typer.Option("--show-drafts", help="Show the drafts before the answer, or beside it on a wide terminal.")
]
NoDrafts = Annotated[bool, typer.Option("--no-drafts", help="Call only the aggregator.")]
Save = Annotated[
    list[Path] | None,
    typer.Option(
        "--save", metavar="FILE", help="Write question, answer, drafts and record: .html, .md or .json; repeatable."
    ),
]
MaxCost = Annotated[
    float | None, typer.Option("--max-cost", metavar="DOLLARS", min=0, help="Maximum cost of the question.")
]
Dry = Annotated[bool, typer.Option("--estimate", help="Print the expected cost; send nothing.")]
Attach = Annotated[
    list[Path] | None,
    typer.Option(
        "--attach",
        "-a",
        metavar="FILE",
        help="An image, a PDF or a text file to send; repeatable.",
        autocompletion=files,
    ),
]

_WITH_A_KEY = """\
The model that answered has 135 million parameters and runs in this process.
With OPENAI_API_KEY or TOGETHER_API_KEY set, several current models draft and a strong one writes the answer.
`moa presets list` lists the mixtures; `moa ask --estimate "..."` prints the cost of a question.
"""


@app.command(
    epilog=examples(
        'moa ask "What is the capital of France?"',
        'cat notes.txt | moa ask --preset together "Summarize."',
        'moa ask --proposer openai:gpt-6.1-sol --show-drafts --save run.html "Why is the sky blue?"',
        'moa ask --proposer openai:llama3 --base-url http://127.0.0.1:11434/v1 "Hello"',
    )
)
def ask(
    prompt: Annotated[
        list[str] | None,
        typer.Argument(metavar="[QUESTION]...", help="The question. Standard input is appended, or replaces a word -."),
    ] = None,
    preset: Preset = None,
    file: File = None,
    proposers: Proposers = None,
    aggregator: Aggregator = None,
    base_url: BaseUrl = None,
    api_key_env: KeyEnv = None,
    layers: Layers = None,
    no_drafts: NoDrafts = False,
    system: System = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    attach: Attach = None,
    resume: Continue = False,
    url: Url = None,
    graph: ServerGraph = None,
    as_json: Json = False,
    raw: Raw = False,
    show_drafts: Show = False,
    save: Save = None,
    max_cost: MaxCost = None,
    dry: Dry = False,
    quiet: Quiet = False,
    trust: Trust = False,
) -> None:
    """Answer one question with a mixture.

    Standard output contains only the answer. On a terminal it is streamed, with its Markdown rendered. Progress is
    written to standard error.
    """
    from moa_graph.cli.log import Log
    from moa_graph.cli.output.export import check_target
    from moa_graph.cli.question import content, question
    from moa_graph.cli.run import View, streams

    text = question(prompt or [])
    asked = content(text, attach or [])
    targets = save or []
    for target in targets:
        check_target(target)
    fields: dict[str, Any] = {
        "layers": 1 if no_drafts else layers,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "max_cost": max_cost,
        "stream_answer": not as_json and streams(),
    }
    if resume and not (url or preset or file or proposers):
        preset = Log.open().last_mixture()
    own: dict[str, Any] = {"--preset": preset, "--file": file, "--proposer": proposers, "--base-url": base_url}
    own |= {"--api-key-env": api_key_env, "--trust": trust, "--estimate": dry}
    source: Mixture | Server
    if there := server(url, graph, own):
        source = there
        fields |= {"aggregator": aggregator, "system": system}
    else:
        source = chosen(
            preset, file, proposers, aggregator, system, base_url=base_url, api_key_env=api_key_env, trust=trust
        )
    context = _context(fields)
    if dry and not isinstance(source, Server):
        if targets:
            raise InputError("--estimate sends nothing, so there is nothing to save: remove --save or --estimate.")
        before = Log.open().last_conversation(continued=resume)
        _estimate(source, [*before.messages, {"role": "user", "content": asked}], context, as_json)
        return
    view = View(answer=not as_json, raw=raw, drafts=show_drafts, live=not quiet and sys.stderr.isatty())
    result, messages = _logged(source, text, asked, context, view, targets, resume=resume, preset=preset, file=file)
    extra = _receipt(source, messages, result, context)
    _show(result, text, extra, view, as_json=as_json, save=targets)
    if (show_drafts or view.live) and not quiet:
        _totals(source, result, extra, hint=show_drafts)


def _logged(
    source: Mixture | Server,
    text: str,
    asked: Any,
    context: MoAContext,
    view: View,
    save: Sequence[Path],
    *,
    resume: bool,
    preset: str | None,
    file: Path | None,
) -> tuple[Answered, list[Any]]:
    """Ask, and write the result to the log and to `save`, also if the run fails or is interrupted."""
    from moa_graph.cli.log import Log
    from moa_graph.cli.run import Interrupted, ask

    log = Log.open()
    before = log.last_conversation(continued=resume)
    messages = [*before.messages, {"role": "user", "content": asked}]
    named = preset or (str(file) if file else source)
    try:
        result = ask(source, messages, context, view)
    except (MoAError, Interrupted) as exc:
        partial = getattr(exc, "answer", "")
        log.add(before.id, named, text, partial or None, exc.drafts, None, failed=exc)
        _keep(save, text, error_text(exc), exc.drafts, partial)
        if isinstance(exc, Interrupted) and exc.terminated:
            raise typer.Exit(exc.terminated) from None
        raise
    log.add(before.id, named, text, result.answer, result.drafts, result.record)
    return result, messages


def _context(fields: dict[str, Any]) -> MoAContext:
    from moa_graph.mixture.context import MoAContext

    return MoAContext(**{name: value for name, value in fields.items() if value is not None})


def _estimate(mixture: Mixture, messages: list[Any], context: MoAContext, as_json: bool) -> None:
    from langchain_core.messages.utils import convert_to_messages

    from moa_graph.costs.budget import estimate
    from moa_graph.mixture.context import settings

    found = estimate(settings(mixture, context), convert_to_messages(messages))
    output(json.dumps(found._asdict()) if as_json else str(found))


def _receipt(source: Mixture | Server, messages: list[Any], result: Answered, context: MoAContext) -> Receipt | None:
    """Return the costs that the record does not contain; None for a server, whose mixture is unknown here."""
    from langchain_core.messages.utils import convert_to_messages

    from moa_graph.costs.receipt import receipt
    from moa_graph.mixture.context import settings

    if isinstance(source, Server):
        return None
    run = settings(source, context)
    asked, answer = convert_to_messages(messages), result.answer
    return receipt(run, asked, result.drafts, result.notes, result.usage, result.record, answer)


def _totals(source: Mixture | Server, result: Answered, extra: Receipt | None, *, hint: bool) -> None:
    """Write one line of totals, and a hint about keys if only the embedded model answered."""
    from moa_graph.cli.output.receipts import summary
    from moa_graph.mixture.proposer import is_embedded

    message(f"\n{summary(result.record, extra)}")
    if hint and not isinstance(source, Server) and all(map(is_embedded, source.specs)):
        message(_WITH_A_KEY.rstrip())


def _show(
    result: Answered, question: str, extra: Receipt | None, view: View, *, as_json: bool, save: Sequence[Path]
) -> None:
    """Write the answer, and save it also where standard output cannot be written."""
    from moa_graph.cli.output.export import save as write

    whole: dict[str, Any] = {
        "answer": result.answer,
        "drafts": result.drafts,
        "notes": list(result.notes),
        "record": result.record,
    }
    whole |= {"receipt": extra._asdict()} if extra else {}
    try:
        view.end(result)
        if as_json:
            from moa_graph.models.terminal_text import escape_controls

            sys.stdout.write(escape_controls(json.dumps(whole, ensure_ascii=False)) + "\n")
    finally:
        for target in save:
            write(target, question, whole)


def _keep(save: Sequence[Path], question: str, reason: str, drafts: list[Any], answer: str) -> None:
    """Save paid drafts when the answer failed."""
    paid = sum(1 for draft in drafts if draft["text"])
    if save and (drafts or answer):
        from moa_graph.cli.output.export import save as write

        for target in save:
            write(target, question, {"answer": answer or None, "error": reason, "drafts": drafts, "record": None})
        message(f"{number_of(len(drafts), 'draft')} saved to {', '.join(map(str, save))}")
    elif paid:
        from moa_graph.cli.log import Log

        where = "`moa logs show` prints" if Log.open().on else "lost; --save FILE would keep"
        message(f"{number_of(paid, 'paid draft')}: {where} {'it' if paid == 1 else 'them'}")
