"""The command `moa`. A sub-command's module is imported when it is called, so `moa --help` costs next to nothing."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple


class Command(NamedTuple):
    """A sub-command: `module` has a typer app named `app`; `extra` is the install extra it needs, if any."""

    module: str
    help: str
    extra: str = ""


COMMANDS: dict[str, Command] = {
    "ask": Command("moa_graph.cli.ask", "Answer one question with a mixture."),
    "chat": Command("moa_graph.cli.chat", "Talk with a mixture, turn by turn."),
    "batch": Command("moa_graph.cli.batch", "Answer thousands of questions from a file, resumably."),
    "serve": Command("moa_graph.cli.serve", "Serve mixtures as models of an OpenAI-compatible endpoint.", "serve"),
    "ui": Command("moa_graph.cli.ui", "Open the page that shows every draft beside the answer.", "serve"),
    "mcp": Command(
        "moa_graph.cli.mcp", "Offer the MCP tool to desktop clients, over standard input and output.", "serve"
    ),
    "presets": Command("moa_graph.cli.mixtures", "List, show and find the mixtures that come with the package."),
    "graph": Command("moa_graph.cli.graph", "Draw a mixture's graph as mermaid."),
    "doctor": Command("moa_graph.cli.doctor", "Check keys, parts, and that every model of a mixture answers."),
    "trust": Command("moa_graph.cli.trust", "Let a mixture file send the keys that it names to its hosts."),
    "schema": Command("moa_graph.cli.schema", "Print the JSON Schema of a mixture file."),
    "eval": Command(
        "moa_graph.cli.eval.commands", "Benchmark mixtures and judges: AlpacaEval 2, MT-Bench, FLASK.", "evals"
    ),
}

EXAMPLES = """\
  moa ask "What is the capital of France?"
  cat notes.txt | moa ask --preset together "Summarize."
  moa ask --proposer openai:gpt-6.1-sol --proposer together:zai-org/GLM-5.3 "Why is the sky blue?"
  moa presets list"""

_COMPLETION = ("--install-completion", "--show-completion")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code.

    0 done, 2 usage or input, 3 configuration or keys, 130 interrupted, 1 anything else.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if "_MOA_COMPLETE" in os.environ or (args and args[0] in _COMPLETION):
        from moa_graph.cli.errors import run

        return run(_whole, args, "moa")
    if not args or args[0] in ("-h", "--help"):
        sys.stdout.write(usage())
        return 0 if args else 2
    if args[0] in ("-V", "--version"):
        from moa_graph import __version__

        sys.stdout.write(f"moa {__version__}\n")
        return 0
    if args[0] not in COMMANDS:
        near = difflib.get_close_matches(args[0], COMMANDS, n=1)
        hint = f"Did you mean `moa {near[0]}`?" if near else "`moa --help` lists the commands."
        sys.stderr.write(f"moa: no command {args[0]!r}. {hint}\n")
        return 2
    return _command(args[0], args[1:])


def usage() -> str:
    """What `moa --help` shows."""
    width = max(map(len, COMMANDS)) + 2
    rows = "\n".join(f"  {name:<{width}}{command.help}" for name, command in COMMANDS.items())
    return (
        "Usage: moa COMMAND [OPTIONS] [ARGS]\n\nMixture-of-Agents: several models draft, one synthesizes.\n\n"
        f"Commands:\n{rows}\n\n`moa COMMAND --help` says more. `moa --version`, `moa --install-completion`.\n\n"
        f"Examples:\n{EXAMPLES}\n"
    )


def _command(name: str, args: list[str]) -> int:
    from moa_graph.cli.errors import run

    command = COMMANDS[name]
    args = ["--help" if arg == "-h" else arg for arg in args]
    return run(lambda: importlib.import_module(command.module).app, args, f"moa {name}", command.extra)


def _whole() -> Any:
    """All commands as one typer app: what shell completion needs."""
    import typer

    whole = typer.Typer(name="moa", no_args_is_help=True)
    for name, command in COMMANDS.items():
        try:
            app = importlib.import_module(command.module).app
        except ModuleNotFoundError:
            continue
        whole.add_typer(app, name=name, help=command.help)
    return whole
