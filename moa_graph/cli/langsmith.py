"""Send LangSmith traces at the end of a command, for a few seconds at most, and report lost ones."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Any

from moa_graph.cli.output.messages import message

PATIENCE = 5.0
"""Seconds to wait. LangSmith's client would wait for minutes for an endpoint that does not answer."""


class _Kept(logging.Handler):
    """Collects the log of LangSmith's client, so that it does not appear between the lines of an answer."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(" ".join(record.getMessage().split()))


def tracing() -> bool:
    """Return whether the environment enables LangSmith traces."""
    names = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2", "LANGCHAIN_TRACING")
    return any(os.environ.get(name, "").lower() in {"true", "1"} for name in names)


_kept = _Kept()


def quiet_traces() -> None:
    """Collect LangSmith's log messages until the end of the command. Call it before the first run."""
    if tracing():
        logger = logging.getLogger("langsmith")
        logger.addHandler(_kept)
        logger.propagate = False


def finish_traces(code: int) -> None:
    """Send the remaining traces, for at most `PATIENCE` seconds. If some are left then, the process exits with `code`,
    because the client's own exit handlers would continue to wait."""
    module = sys.modules.get("langsmith.run_trees")
    if module is None or not tracing():
        return
    client = module.get_cached_client()
    sender = threading.Thread(target=_send, args=(client,), daemon=True)
    sender.start()
    sender.join(PATIENCE)
    if sender.is_alive() or _kept.lines:
        reason = f": {_kept.lines[0][:120]}" if _kept.lines else f" did not answer within {PATIENCE:g} s"
        message(f"LangSmith{reason}. Traces of this command are lost; the answer is not affected.")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _send(client: Any) -> None:
    try:
        client.flush()
    except Exception as exc:
        # A trace that cannot be sent is reported as lost. It must not fail the command.
        _kept.lines.append(f"{type(exc).__name__}: {exc}")
