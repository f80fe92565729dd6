"""`moa chat`: many turns with one mixture; only the aggregator's answers enter the history."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from moa_graph.cli.options import Aggregator, File, Layers, Preset, Proposers, System, Trust, chosen
from moa_graph.errors import InputError, MoAError

if TYPE_CHECKING:
    from moa_graph.cli.chatting import Chat

app = typer.Typer(add_completion=False)
Load = Annotated[str | None, typer.Option("--load", help="Go on with a chat that /save wrote.")]


@app.command()
def chat(
    preset: Preset = None,
    file: File = None,
    proposers: Proposers = None,
    aggregator: Aggregator = None,
    layers: Layers = None,
    system: System = None,
    load: Load = None,
    trust: Trust = False,
) -> None:
    """Talk with a mixture, turn by turn. `/help` lists what else can be said; Ctrl-D ends it.

    Questions may also be piped in, one a line.
    """
    from moa_graph.cli.chatting import Chat

    talk = Chat(chosen(preset, file, proposers, aggregator, trust=trust), layers=layers, system=system)
    if load:
        chosen_here = {"layers": layers, "system": system}
        talk.load(load, **{name: value for name, value in chosen_here.items() if value is not None})
    if reconfigure := getattr(sys.stdin, "reconfigure", None):
        reconfigure(errors="replace")  # a byte that is no UTF-8 must not end the chat
    with suppress(EOFError):
        while True:
            _turn(talk, _line())


def _turn(talk: Chat, line: str) -> None:
    try:
        if line.startswith("/"):
            _command(talk, line)
        elif line:
            talk.ask(line)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; the question is forgotten\n")
    except (MoAError, OSError) as exc:
        sys.stderr.write(f"{exc}\n")


def _command(talk: Chat, line: str) -> None:
    """Runs one `/command`. Raises InputError when there is none of that name; /quit ends the chat (EOFError)."""
    name, _, rest = line[1:].partition(" ")
    commands = {key: value for key, value in type(talk).__dict__.items() if getattr(value, "spoken", False)}
    if name in ("quit", "exit"):
        raise EOFError
    if name == "help":
        for key, value in commands.items():
            sys.stderr.write(f"/{key}: {value.__doc__.strip().splitlines()[0]}\n")
        sys.stderr.write("/quit: End the chat; so does Ctrl-D.\n")
        return
    if name not in commands:
        raise InputError(f"no command /{name}; /help lists them.")
    said = commands[name](talk, rest.strip() if name == "system" else _unquoted(rest.strip()))
    if said:
        sys.stderr.write(f"{said}\n")


def _unquoted(text: str) -> str:
    """What is said after a command: a file's name may stand in quotes, and may hold one, as Ann's.json does."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _line() -> str:
    """The next line; raises EOFError at the end."""
    if sys.stdin is not None and sys.stdin.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401  # arrow keys and history, where the platform has them
        # The prompt belongs to the person, not to what is read from standard output.
        sys.stderr.write("> ")
        sys.stderr.flush()
        return input().strip()
    line = sys.stdin.readline() if sys.stdin is not None else ""
    if not line:
        raise EOFError
    return line.strip()
