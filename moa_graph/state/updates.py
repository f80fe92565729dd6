"""The error of an update that the state refuses: of a run's input, or of what a person edits."""

from __future__ import annotations

from langgraph.errors import InvalidUpdateError

from moa_graph.errors import InputError

__all__ = ["UpdateError"]


class UpdateError(InputError, InvalidUpdateError):
    """An `InputError` that is LangGraph's own error of updates, too.

    The Agent Server answers a request with 400 and the reason for LangGraph's error, and with 500 and no reason for
    others.
    """


# Servers send an error's name, and their clients know this one.
UpdateError.__name__ = "InputError"
