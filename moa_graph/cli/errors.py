"""How a command ends: every error as one line on standard error and an exit code, never a raw traceback."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any

import typer

from moa_graph.cli.langsmith import finish_traces
from moa_graph.errors import ConfigError, InputError, MoAError

FAILED, USAGE, CONFIG, INTERRUPTED = 1, 2, 3, 130
_CONTEXT_FIELD = re.compile(r"\bcontext\.(layers|temperature|max_tokens|max_cost|system|aggregator)\b")
"""Fields of `MoAContext` that are options of commands."""


def run(load: Callable[[], typer.Typer], args: list[str], name: str, extra: str = "") -> int:
    """Runs a typer app with `args`; returns the exit code, standard output flushed and traces sent or given up.

    `extra` is the install extra that brings what the command may miss.
    """
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    code = _guarded(load, args, name, extra)
    try:
        sys.stdout.flush()
    except OSError:
        _silence_stdout()
    finish_traces(code)
    return code


def _guarded(load: Callable[[], typer.Typer], args: list[str], name: str, extra: str) -> int:
    try:
        result = typer.main.get_command(load()).main(args=args, prog_name=name, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        result = INTERRUPTED
    except BrokenPipeError:
        # Whoever read the answer has gone (`moa ask ... | head`): nothing to say, and nobody to say it to.
        _silence_stdout()
        return FAILED
    except MoAError as exc:
        _say(f"{name}: {said(exc)}")
        return code_of(exc)
    except ModuleNotFoundError as exc:
        way_out = f" Run: pip install 'moa_graph[{extra}]'" if extra else ""
        _say(f"{name}: the package {exc.name} is not installed.{way_out}")
        return CONFIG
    except Exception as exc:
        # The last resort: also a fault of ours ends as a line, with the traceback for whoever asks for it.
        return _unforeseen(exc, name)
    if result == INTERRUPTED:
        _say(f"{name}: interrupted")
    return result if isinstance(result, int) else 0


def said(error: Exception) -> str:
    """Return the error for a person at a terminal: options instead of context fields, and no words about Python."""
    from moa_graph.models.terminal_text import for_terminal

    text = _CONTEXT_FIELD.sub(lambda found: f"--{found[1].replace('_', '-')}", str(error))
    # An error may quote a server, a model or a file.
    return for_terminal(text)


def code_of(error: MoAError) -> int:
    """The exit code that stands for `error`."""
    if isinstance(error, InputError):
        return USAGE
    return CONFIG if isinstance(error, ConfigError) else FAILED


def _unforeseen(exc: Exception, name: str) -> int:
    # Usage errors of typer (of click below typer 0.26) carry their own code and words.
    if isinstance(code := getattr(exc, "exit_code", None), int) and hasattr(exc, "format_message"):
        _say(f"{name}: {exc.format_message()}\n`{name} --help` shows how it is called.")
        return code
    if isinstance(exc, OSError):
        _say(f"{name}: {exc}")
        return FAILED
    if os.environ.get("MOA_DEBUG"):
        traceback.print_exc()
    _say(f"{name}: {type(exc).__name__}: {' '.join(str(exc).split())[:500]} (MOA_DEBUG=1 shows where)")
    return FAILED


def _say(text: Any) -> None:
    # An error may quote a server, a model or a file.
    from moa_graph.models.terminal_text import for_terminal

    sys.stderr.write(f"{for_terminal(str(text))}\n")


def _silence_stdout() -> None:
    """So that the interpreter's last flush does not complain about a closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
