"""The end of a command: every error becomes one line on standard error and an exit code, never a raw traceback."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any

import typer

from moa_graph.cli.home import is_at_home
from moa_graph.cli.langsmith import finish_traces
from moa_graph.cli.output.messages import clean_log, escape_unencodable, flushed, message, silence_stdout
from moa_graph.cli.resumable import HUNG_UP, TERMINATED
from moa_graph.errors import ConfigError, InputError, MoAError
from moa_graph.models.terminal_text import for_terminal

FAILED, USAGE, CONFIG, INTERRUPTED = 1, 2, 3, 130
_CONTEXT_FIELD = re.compile(r"\bcontext\.(layers|temperature|max_tokens|max_cost|system|aggregator)\b")
"""Fields of `MoAContext` that are also options of commands."""


def run(load: Callable[[], typer.Typer], args: list[str], name: str, extra: str = "") -> int:
    """Run a typer app with `args` and return the exit code. Standard output is flushed, and traces are sent.

    Args:
        load: Imports the app.
        args: The arguments.
        name: The command, for messages.
        extra: The install extra with the packages that the command needs.
    """
    escape_unencodable()
    clean_log()
    code = _guarded(load, args, name, extra)
    code = flushed(code, name)
    finish_traces(code)
    return code


def _guarded(load: Callable[[], typer.Typer], args: list[str], name: str, extra: str) -> int:
    try:
        result = _command(load()).main(args=args, prog_name=name, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        result = INTERRUPTED
    except BrokenPipeError:
        # The reader of standard output has exited (`moa ask ... | head`), so there is nothing to report.
        silence_stdout()
        return FAILED
    except MoAError as exc:
        message(f"{name}: {error_text(exc)}")
        return code_of(exc)
    except ModuleNotFoundError as exc:
        way_out = f" Run: pip install 'moa_graph[{extra}]'" if extra else ""
        message(f"{name}: the package {exc.name} is not installed.{way_out}")
        return CONFIG
    except Exception as exc:
        if isinstance(exc, UnicodeEncodeError) and (odd := next((arg for arg in args if not _is_text(arg)), None)):
            message(f"{name}: {odd!a} is not text in UTF-8. Rename the file, or convert the text.")
            return USAGE
        # The last resort: an internal error also ends as one line; MOA_DEBUG=1 adds the traceback.
        return _unforeseen(exc, name, args)
    if result in (INTERRUPTED, TERMINATED, HUNG_UP):
        message(f"{name}: {'interrupted' if result == INTERRUPTED else 'terminated'}")
    return result if isinstance(result, int) else 0


def _command(app: typer.Typer) -> Any:
    """Return the app's command. The paragraphs of its help fill a line; typer keeps the line ends of the source."""
    command = typer.main.get_command(app)
    for each in (command, *getattr(command, "commands", {}).values()):
        each.help = re.sub(r"(?<!\n)\n(?!\n)", " ", each.help or "")
    return command


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:  # Python keeps bytes of the command line that are not UTF-8 as lone surrogates
        return False
    return True


def error_text(error: BaseException) -> str:
    """Return an error's text for a terminal: option names replace context fields, the file an error's number."""
    said = str(error)
    if isinstance(error, OSError) and error.strerror:
        said = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = _CONTEXT_FIELD.sub(lambda found: f"--{found[1].replace('_', '-')}", said)
    # An error may quote a server, a model or a file.
    return for_terminal(text)


def code_of(error: MoAError) -> int:
    """Return the exit code for `error`."""
    if isinstance(error, InputError):
        return USAGE
    return CONFIG if isinstance(error, ConfigError) else FAILED


def _unforeseen(exc: Exception, name: str, args: list[str]) -> int:
    # Usage errors of typer (of click below typer 0.26) have their own code and text.
    if isinstance(code := getattr(exc, "exit_code", None), int) and hasattr(exc, "format_message"):
        # A command group without a command has printed its help, and has no message.
        if text := _wrong_value(exc) or exc.format_message():
            asked = type(exc).__name__ == "NoSuchOption" and any(arg.startswith("-") and " " in arg for arg in args)
            way_out = " Write -- before a question that begins with -." if asked and name == "moa ask" else ""
            message(f"{name}: {text}\n`{name} --help` shows the usage.{way_out}")
        return code
    if isinstance(exc, OSError):
        way_out = " MOA_HOME names another folder." if is_at_home(exc.filename) else ""
        message(f"{name}: {error_text(exc)}{'.' if way_out else ''}{way_out}")
        return FAILED
    if os.environ.get("MOA_DEBUG"):
        sys.stderr.write(for_terminal(traceback.format_exc()))
    message(f"{name}: {type(exc).__name__}: {' '.join(str(exc).split())[:500]} (set MOA_DEBUG=1 for the traceback)")
    return FAILED


def _wrong_value(exc: Any) -> str:
    """Return the message for an option's value of a wrong type; empty for other usage errors.

    typer reads values with pydantic, whose messages name Python types.
    """
    from pydantic import ValidationError

    from moa_graph.state.field_errors import expected

    if not isinstance(exc.__cause__, ValidationError):
        return ""
    option = exc.param.opts[0] if exc.param and exc.param.opts else ""
    option = option if option.startswith("-") else option.upper()
    first = exc.__cause__.errors(include_url=False)[0]
    return f"{option}: expected {expected(first) or 'another value'}, got {str(first['input'])[:60]}."
