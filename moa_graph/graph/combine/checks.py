"""A user's check of one draft: a Python callable, a program, or a JSON schema. Model text is never executed."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from langchain_core.messages import BaseMessage
from langgraph.errors import GraphBubbleUp

from moa_graph.graph.combine import schema_check
from moa_graph.graph.combine.schema_check import FAILED, problems, steps
from moa_graph.mixture.combiners import CommandCheck, SchemaCheck
from moa_graph.models.limits import MAX_JSON_VALUES
from moa_graph.models.secrets.redaction import one_line

__all__ = ["Verdict", "end", "run_check"]

_MOST = 20_000
"""Bytes of a program's output that are read; an author is shown no more of it."""
_SHORT = 2_000
"""Characters of a draft that is checked by a schema on the event loop."""
_FEW_STEPS, _MANY_STEPS = 3_000, 100_000
"""The most steps of a check by a schema on the event loop, and in a thread. One takes about 20 microseconds."""
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "SYSTEMROOT")
"""Variables that a program gets. Provider keys are not among them."""
_OF_PYTHON = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH")
"""Variables that this package's own program needs as well."""
_SCHEMA_SECONDS = 10.0
"""Seconds for a check by a JSON schema."""
_AT_ONCE = 2 * (os.cpu_count() or 1)
"""Processes that check by a schema at once, for each event loop. With hundreds of them none would end in time."""
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class Verdict(NamedTuple):
    """What a check said of a draft.

    Attributes:
        passed: Whether the draft may be the answer.
        score: How good it is, if the check says so; higher is better.
        message: The check's own words, which an author is shown.
        error: Why the check itself failed; None when it ran.
    """

    passed: bool
    score: float | None = None
    message: str = ""
    error: str | None = None


async def run_check(
    check: CommandCheck | SchemaCheck | Callable[..., Any], messages: Sequence[BaseMessage], text: str
) -> Verdict:
    """Check one draft. Never raises: a check that fails is a verdict with its error."""
    try:
        if isinstance(check, CommandCheck):
            return await _by_command(check, text)
        if isinstance(check, SchemaCheck):
            return await _by_schema(check, text)
        return await _by_function(check, messages, text)
    except (GraphBubbleUp, asyncio.CancelledError):
        raise
    except Exception as exc:  # a user's code may raise anything; its draft simply does not pass
        return Verdict(False, error=one_line(f"the check raised {type(exc).__name__}: {exc}"))


async def _by_function(check: Callable[..., Any], messages: Sequence[BaseMessage], text: str) -> Verdict:
    if inspect.iscoroutinefunction(check) or inspect.iscoroutinefunction(getattr(check, "__call__", None)):  # noqa: B004
        found = await check(list(messages), text)
    else:
        found = await asyncio.to_thread(check, list(messages), text)
        if inspect.isawaitable(found):
            found = await found
    passed, score, message = (*found, None, None)[:3] if isinstance(found, tuple) else (found, None, None)
    if not isinstance(passed, bool):
        return Verdict(False, error=f"the check returned {type(passed).__name__}, not True or False")
    valid = isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score)
    return Verdict(
        passed, float(score) if valid and score is not None else None, "" if message is None else str(message)
    )


async def _by_command(check: CommandCheck, text: str) -> Verdict:
    try:
        code, words = await _run(check.command, text.encode("utf-8", "replace"), check.seconds, check.environment)
    except TimeoutError:
        return Verdict(False, error=f"the check did not end within {check.seconds:g} s")
    return Verdict(code == 0, None, words)


async def _by_schema(check: SchemaCheck, text: str) -> Verdict:
    if sum(map(text.count, ",[{")) > MAX_JSON_VALUES:
        return Verdict(False, None, f"the JSON has more than {MAX_JSON_VALUES:,} values")
    inputs = (check.json_schema, text)
    if (most := steps(*inputs)) <= _MANY_STEPS:
        # A thread for a long draft, so that other tasks run meanwhile.
        is_quick = len(text) <= _SHORT and most <= _FEW_STEPS
        found = problems(*inputs) if is_quick else await asyncio.to_thread(problems, *inputs)
        return Verdict(not found, None, "\n".join(found))
    # Without `-P`, modules beside the program would take the place of the standard library's.
    command = [sys.executable, "-P", "-W", "ignore", schema_check.__file__]
    data = json.dumps({"schema": check.json_schema, "text": text}).encode()
    try:
        async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_AT_ONCE)):
            code, words = await _run(command, data, _SCHEMA_SECONDS, _OF_PYTHON)
    except TimeoutError:
        return Verdict(False, error=f"the check did not end within {_SCHEMA_SECONDS:g} s")
    if code not in (0, FAILED):
        last = words.rpartition("\n")[2]
        return Verdict(False, error=one_line(f"the check ended with {code}: {last}"))
    return Verdict(code == 0, None, words)


async def _run(command: Sequence[str], data: bytes, seconds: float, variables: Sequence[str]) -> tuple[int, str]:
    """Return a program's exit code and what it wrote to standard error.

    Raises:
        TimeoutError: It did not end in time.
    """
    environment = {name: os.environ[name] for name in (*_KEPT, *variables) if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        start_new_session=os.name == "posix",
    )
    try:
        async with asyncio.timeout(seconds):
            words = await _fed(process, data)
            code = await process.wait()
    except TimeoutError:
        await end(process)  # also what it started and left running
        raise
    finally:
        if process.returncode is None:
            await end(process)
    return code, words.decode("utf-8", "replace").strip()


async def _fed(process: asyncio.subprocess.Process, data: bytes) -> bytes:
    """Write the draft while standard error is read, so that neither pipe can fill up."""
    assert process.stdin is not None and process.stderr is not None

    async def write(stdin: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            stdin.write(data)
            await stdin.drain()
        with contextlib.suppress(ConnectionError):
            stdin.close()

    writing = asyncio.ensure_future(write(process.stdin))
    try:
        words = b""
        while piece := await process.stderr.read(65_536):
            words = (words + piece)[:_MOST]
        await writing
    finally:
        writing.cancel()
    return words


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill the program's process group (on systems without groups, the program), and wait for the program's end.

    A cancellation of the caller is raised after that. The limits of a draft, its round and the run may be over at once,
    and a wait that the second one interrupts would leave the process open.

    Args:
        process: A program with a session of its own.
    """
    with contextlib.suppress(ProcessLookupError):
        if sys.platform != "win32":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    waiting = asyncio.ensure_future(process.wait())
    cancelled: asyncio.CancelledError | None = None
    while not waiting.done():
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled
