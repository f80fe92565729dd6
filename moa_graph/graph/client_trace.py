"""Distributed tracing: the spans of a run below a span of the client that asked for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from langsmith import RunTree, get_tracing_context, tracing_context
from langsmith.utils import tracing_is_enabled

__all__ = ["HEADER", "client_trace"]

HEADER = "langsmith-trace"
"""The header in which LangSmith's SDKs send the caller's span.

Their header `baggage` is not read: it may name a project, an address or replicas, and a client must not choose where a
server sends its traces.
"""

_log = logging.getLogger("moa_graph")


@contextmanager
def client_trace(header: str | None) -> Iterator[None]:
    """Trace what runs inside below the client's span; no-op without the header, or where nothing is traced."""
    parent = _parent(header) if header and tracing_is_enabled() else None
    with tracing_context(**{**get_tracing_context(), "parent": parent}) if parent else nullcontext():
        yield


def _parent(header: str) -> RunTree | None:
    """Return the client's span, to be traced where this process traces; None when the header is malformed."""
    own = get_tracing_context()
    given = {name: own[name] for name in ("client", "project_name") if own.get(name)}
    try:
        return RunTree.from_headers({HEADER: header}, **given)
    except Exception:
        # LangSmith's reader raises errors of several kinds. A malformed header must not fail the run.
        _log.warning("ignored a malformed header %s", HEADER)
        return None
