"""`moa chat`: many turns with one mixture. Only the aggregator's answers enter the history."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moa_graph.cli.complete import files
from moa_graph.cli.errors import error_text
from moa_graph.cli.options import (
    Aggregator,
    BaseUrl,
    Continue,
    File,
    KeyEnv,
    Layers,
    MaxTokens,
    Preset,
    Proposers,
    Raw,
    System,
    Temperature,
    Trust,
    chosen,
    examples,
)
from moa_graph.cli.output.messages import message
from moa_graph.costs.amounts import number_of
from moa_graph.errors import MoAError

if TYPE_CHECKING:
    from moa_graph.cli.conversation import Conversation

app = typer.Typer(add_completion=False)
Load = Annotated[
    Path | None,
    typer.Option("--load", metavar="FILE", help="Continue a chat that was written with /save.", autocompletion=files),
]


@app.command(epilog=examples("moa chat", "moa chat --preset together --continue", "moa chat < questions.txt"))
def chat(
    preset: Preset = None,
    file: File = None,
    proposers: Proposers = None,
    aggregator: Aggregator = None,
    base_url: BaseUrl = None,
    api_key_env: KeyEnv = None,
    layers: Layers = None,
    system: System = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    load: Load = None,
    resume: Continue = False,
    raw: Raw = False,
    trust: Trust = False,
) -> None:
    """Chat with a mixture. `/help` lists the commands; Ctrl-D ends the chat.

    Every question is logged (`moa logs`). Questions can also be piped in, one per line.
    """
    from moa_graph.cli.conversation import Conversation
    from moa_graph.cli.log import Log

    if resume and not (preset or file or proposers):
        preset = Log.open().last_mixture()
    talk = Conversation(
        chosen(preset, file, proposers, aggregator, base_url=base_url, api_key_env=api_key_env, trust=trust),
        raw=raw,
        name=preset or (str(file) if file else None),
        layers=layers,
        system=system,
        temperature=temperature,
        max_tokens=max_tokens,
    )
    if load:
        here = {"layers": layers, "system": system}
        talk.load(load, **{name: value for name, value in here.items() if value is not None})
    elif resume:
        talk.resume()
    if reconfigure := getattr(sys.stdin, "reconfigure", None):
        reconfigure(errors="replace")  # a byte that is not UTF-8 must not end the chat
    _begin(talk)
    _loop(talk)


def _begin(talk: Conversation) -> None:
    """Print the mixture and the cost of a question before the first question."""
    if sys.stdin is None or not sys.stdin.isatty():
        return
    message(f"{talk.about()}\n/help lists commands; Ctrl-D ends the chat.")
    if talk.messages:
        asked = number_of(len(talk.messages) // 2, "question")
        message(f"Continuing after {asked}; /show prints the conversation.")


def _loop(talk: Conversation) -> None:
    from moa_graph.cli.line_editor import questions, type_ahead

    read = questions()
    with suppress(EOFError), type_ahead():
        while True:
            try:
                line = read()
            except KeyboardInterrupt:
                continue  # Ctrl-C clears the line; the chat continues
            _turn(talk, line)


def _turn(talk: Conversation, line: str) -> None:
    from moa_graph.cli.commands import parse, run
    from moa_graph.cli.run import Interrupted

    if line in ("exit", "quit"):
        raise EOFError
    try:
        if command := parse(line):
            asked = len(talk.costs)
            if text := run(talk, *command):
                message(text)
            elif len(talk.costs) > asked:  # /retry
                _totals(talk)
        elif line:
            _ask(talk, line[1:] if line.startswith("//") else line)
    except Interrupted as exc:
        paid = sum(1 for draft in exc.drafts if draft["text"])
        if exc.terminated:
            raise typer.Exit(exc.terminated) from None
        kept = f"; {number_of(paid, 'draft')} kept: /drafts shows, /retry asks again" if paid else ""
        message(f"interrupted{kept}")
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
    except BrokenPipeError:
        raise  # nobody reads the answers, so the next question must not be paid for
    except (MoAError, OSError) as exc:
        message(error_text(exc))


def _ask(talk: Conversation, question: str) -> None:
    talk.ask(question)
    _totals(talk)


def _totals(talk: Conversation) -> None:
    from moa_graph.cli.output.receipts import summary

    if talk.record and sys.stderr.isatty():
        message(summary(talk.record))
