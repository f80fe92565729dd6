"""`moa logs`: list, search and show logged questions."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Annotated

import typer

from moa_graph.cli.log import Log
from moa_graph.cli.log_entry import Entry
from moa_graph.cli.options import Json, Raw
from moa_graph.cli.output.messages import message, output, output_json
from moa_graph.models.terminal_text import for_terminal

app = typer.Typer(
    help="The log of all questions of `moa ask` and `moa chat`, in one file.",
    add_completion=False,
    no_args_is_help=True,
)

Limit = Annotated[
    int, typer.Option("--limit", "-n", metavar="NUMBER", min=0, help="Show the newest NUMBER; 0 for all.")
]
Number = Annotated[
    int | None, typer.Argument(metavar="[NUMBER]", help="A number of `moa logs list` (default: the last).")
]


@app.command("list")
def list_entries(limit: Limit = 20, as_json: Json = False) -> None:
    """List the questions, the newest last."""
    _print(Log.open().entries(limit=limit or None), as_json)


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(metavar="TEXT...", help="Texts that must all occur.")],
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List the questions whose text, answer or drafts contain every given text."""
    _print(Log.open().entries(limit=limit or None, words=words), as_json)


@app.command()
def show(
    number: Number = None,
    drafts: Annotated[bool, typer.Option("--drafts", "-d", help="Print the drafts as well.")] = False,
    as_json: Json = False,
    raw: Raw = False,
) -> None:
    """Print a question with its answer, by default the last one."""
    entry = Log.open().entry(number)
    if as_json:
        output_json(entry._asdict())
        return
    from moa_graph.cli.output.drafts import as_text

    head = [f"{entry.id}  {_when(entry)}  {for_terminal(entry.mixture)}", for_terminal(entry.question)]
    if drafts or not entry.answer:
        head.append(as_text(entry.drafts))
    if entry.error:
        head.append(f"no complete answer: {for_terminal(entry.error)}")
    sys.stdout.write("\n\n".join(part for part in head if part) + "\n")
    if entry.answer:
        _answer(entry.answer, raw)


@app.command()
def path() -> None:
    """Print the path of the log."""
    output(f"{Log.open().path}")


@app.command()
def off() -> None:
    """Stop logging questions; existing entries are kept. MOA_LOG=off does it for one command."""
    log = Log.open()
    log.switch(on=False)
    message(f"the log is off; {log.path} keeps its entries")


@app.command()
def on() -> None:
    """Start logging questions again."""
    log = Log.open()
    log.switch(on=True)
    message(f"the log is on: {log.path}")


def _print(entries: list[Entry], as_json: bool) -> None:
    if as_json:
        output_json([entry._asdict() for entry in entries])
        return
    from rich.console import Console

    width = Console().width if sys.stdout.isatty() else None
    for entry in entries:
        mark = "" if entry.answer and not entry.error else "  (no complete answer)"
        name = Path(entry.mixture).name  # of a file: its path is too long here
        line = f"{entry.id:>5}  {_when(entry)}  {name:<12.12}  {' '.join(entry.question.split())}{mark}"
        line = for_terminal(line).replace("\n", " ")
        sys.stdout.write((line if width is None or len(line) <= width else f"{line[: width - 1]}…") + "\n")


def _when(entry: Entry) -> str:
    return datetime.datetime.fromtimestamp(entry.asked).strftime("%Y-%m-%d %H:%M")


def _answer(text: str, raw: bool) -> None:
    from rich.console import Console

    from moa_graph.cli.output.markdown import markdown

    console = Console()
    if raw or not console.is_terminal:
        sys.stdout.write(f"\n{for_terminal(text)}\n")
    else:
        console.print()
        console.print(markdown(text))
