"""The command `moa`. A sub-command's module is imported when it is called, so that `moa --help` stays fast."""

from __future__ import annotations

import atexit
import difflib
import gc
import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple


class SubCommand(NamedTuple):
    """A sub-command: its module, the typer app in it, and the install extra that it needs, if any."""

    module: str
    help: str
    extra: str = ""
    app: str = "app"

    def load(self) -> Any:
        """Import the module and return its typer app."""
        return getattr(importlib.import_module(self.module), self.app)


COMMANDS: dict[str, SubCommand] = {
    "ask": SubCommand("moa_graph.cli.ask", "Answer one question with a mixture."),
    "chat": SubCommand("moa_graph.cli.chat", "Chat with a mixture."),
    "batch": SubCommand("moa_graph.cli.batch", "Answer thousands of questions from a file; resumable."),
    "serve": SubCommand("moa_graph.cli.serve", "Serve mixtures as models of an OpenAI-compatible endpoint.", "serve"),
    "ui": SubCommand(
        "moa_graph.cli.serve", "Open the page that shows every draft beside the answer.", "serve", "ui_app"
    ),
    "mcp": SubCommand(
        "moa_graph.cli.mcp", "Offer the MCP tool to desktop clients on standard input and output.", "serve"
    ),
    "presets": SubCommand("moa_graph.cli.mixtures", "List, show and add presets (named mixtures)."),
    "logs": SubCommand("moa_graph.cli.logs", "List, search and show logged questions."),
    "cost": SubCommand("moa_graph.cli.cost", "Sum up the costs by day, mixture and model."),
    "graph": SubCommand("moa_graph.cli.mixtures", "Draw a mixture's graph as mermaid.", app="graph_app"),
    "doctor": SubCommand(
        "moa_graph.cli.doctor", "Check keys, optional parts, and that every model of a mixture answers."
    ),
    "trust": SubCommand("moa_graph.cli.trust", "Allow a mixture file to send keys to its hosts, and to run its check."),
    "schema": SubCommand("moa_graph.cli.mixtures", "Print the JSON Schema of a mixture file.", app="schema_app"),
    "eval": SubCommand(
        "moa_graph.cli.eval.commands", "Benchmark mixtures and judges: AlpacaEval 2, MT-Bench, FLASK.", "evals"
    ),
    "tune": SubCommand(
        "moa_graph.cli.tune", "Find out whether a mixture is worth it on your prompts, and which.", "evals"
    ),
}

EXAMPLES = """\
  moa "What is the capital of France?"
  cat notes.txt | moa ask --preset together "Summarize."
  moa ask --proposer openai:gpt-6.1-sol --proposer together:zai-org/GLM-5.3 "Why is the sky blue?"
  moa presets list"""

_COMPLETION = ("--install-completion", "--show-completion")


def _start_fast() -> None:
    """Save about a quarter of the CPU time between the command and its first request, and 0.3 s at its end.

    The time to the first request is all imports. The collector would walk the classes of LangGraph and the OpenAI SDK
    about 100 times while they are imported, and twice more when the interpreter ends, where memory is freed anyway.
    `httpx` imports its own command line, with rich and pygments, wherever those are installed; a None entry in
    `sys.modules` makes that import fail, which httpx expects.
    """
    gc.set_threshold(50_000, 10, 10)
    atexit.register(gc.freeze)  # registered first, so called last: after clients and traces have ended
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None is the documented way to block it


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    0 success, 1 failure, 2 usage or input, 3 configuration or keys, 129 terminal closed, 130 interrupted, 143
    terminated.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if argv is None:  # run as its own process
        _start_fast()
        from moa_graph.cli.output.messages import open_streams

        open_streams()
    if "_MOA_COMPLETE" in os.environ or (args and args[0] in _COMPLETION):
        from moa_graph.cli.completion import run_completion
        from moa_graph.cli.errors import run

        return run_completion(lambda: run(_whole, args, "moa"))
    if args and args[0] == "help":
        args = [*args[1:2], "--help"]
    if not args or args[0] in ("-h", "--help"):
        return _written(usage(), 0 if args else 2)
    if args[0] in ("-V", "--version"):
        from moa_graph import __version__

        return _written(f"moa {__version__}\n")
    if args == ["presets", "list"] and (listed := _listed_presets()):
        return _written(listed)
    if args[0] in COMMANDS:
        return _command(args[0], args[1:])
    if args[0].startswith("-") or len(args[0].split()) > 1:
        return _command("ask", args)
    near = difflib.get_close_matches(args[0], COMMANDS, n=1)
    hint = f"Did you mean `moa {near[0]}`?" if near else "`moa --help` lists the commands."
    from moa_graph.cli.output.messages import message

    message(f"moa: no command {args[0]!r}. {hint} To ask it as a question: moa ask {shlex.join(args)}")
    return 2


def usage() -> str:
    """Return the text of `moa --help`."""
    width = max(map(len, COMMANDS)) + 2
    rows = "\n".join(f"  {name:<{width}}{command.help}" for name, command in COMMANDS.items())
    return (
        'Usage: moa COMMAND [OPTIONS] [ARGS], or moa [OPTIONS] "QUESTION"\n\n'
        "Mixture-of-Agents: several models draft, one synthesizes.\n\n"
        f"Commands:\n{rows}\n\nMore: `moa COMMAND --help`, `moa --version`, `moa --install-completion`.\n\n"
        f"Examples:\n{EXAMPLES}\n"
    )


def _listed_presets() -> str | None:
    """Return the list of presets; None where a file is wrong, which the command then reports."""
    from moa_graph.cli.preset_list import as_text, preset_rows
    from moa_graph.errors import MoAError

    try:
        return as_text(preset_rows())
    except (MoAError, OSError, AttributeError, KeyError, TypeError):
        return None


def _written(text: str, code: int = 0) -> int:
    """Write a text to standard output and return the exit code."""
    from moa_graph.cli.output.messages import escape_unencodable, flushed

    escape_unencodable()
    return flushed(code, "moa", text)


def _command(name: str, args: list[str]) -> int:
    from moa_graph.cli.errors import run

    command = COMMANDS[name]
    args = ["--help" if arg == "-h" else arg for arg in args]
    return run(command.load, args, f"moa {name}", command.extra)


def _whole() -> Any:
    """Return all commands as one typer app, for shell completion. Only the command on the line is loaded."""
    import typer

    typed = (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or "").split()[1:2]
    whole = typer.Typer(name="moa", no_args_is_help=True)
    for name, command in COMMANDS.items():
        if [name] != typed:
            whole.command(name=name, help=command.help)(_not_loaded)
            continue
        try:
            app = command.load()
        except ModuleNotFoundError:
            continue
        if len(app.registered_commands) == 1 and not app.registered_groups and app.registered_callback is None:
            # A group with one command is that command; otherwise `moa ask ask` would be offered.
            whole.command(name=name, help=command.help)(app.registered_commands[0].callback)
        else:
            whole.add_typer(app, name=name, help=command.help)
    return whole


def _not_loaded() -> None:
    """Placeholder for a command that is not on the line."""
