"""LangSmith at a command's end: traces are sent for a few seconds at most, and what was lost is said."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Any

PATIENCE = 5.0
"""Seconds. LangSmith's client would itself wait for minutes on an endpoint that does not answer."""


class _Kept(logging.Handler):
    """Keeps what LangSmith's client logs, instead of letting it between the lines of an answer."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(" ".join(record.getMessage().split()))


def tracing() -> bool:
    """Whether the environment asks for LangSmith traces."""
    names = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2", "LANGCHAIN_TRACING")
    return any(os.environ.get(name, "").lower() in {"true", "1"} for name in names)


_kept = _Kept()


def quiet_traces() -> None:
    """Before the first run: LangSmith's complaints are kept for the end."""
    if tracing():
        logger = logging.getLogger("langsmith")
        logger.addHandler(_kept)
        logger.propagate = False


def finish_traces(code: int) -> None:
    """Sends what is left, for at most `PATIENCE` seconds. With something left then, the process ends here with `code`:
    the client's own exit handlers would wait on."""
    module = sys.modules.get("langsmith.run_trees")
    if module is None or not tracing():
        return
    client = module.get_cached_client()
    sender = threading.Thread(target=_send, args=(client,), daemon=True)
    sender.start()
    sender.join(PATIENCE)
    if sender.is_alive() or _kept.lines:
        reason = f": {_kept.lines[0][:120]}" if _kept.lines else f" did not answer within {PATIENCE:g} s"
        sys.stderr.write(f"LangSmith{reason}. Traces of this command are lost; its answer is not.\n")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _send(client: Any) -> None:
    try:
        client.flush()
    except Exception as exc:
        # A trace that cannot be sent is reported as lost, whatever the reason; it must not fail the command.
        _kept.lines.append(f"{type(exc).__name__}: {exc}")
