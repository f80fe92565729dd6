"""All exceptions that this package raises on purpose.

MoAError (a RuntimeError)
├── ConfigError             a mixture, preset, file, context or thread cannot be used
│   └── MissingKeyError     provider keys are missing from the environment
├── InputError              the messages cannot be answered; nothing was sent
├── NotEnoughDraftsError    a layer ended with fewer successful drafts than `min_drafts`
├── AggregationError        the aggregator and all its fallbacks failed
├── BudgetError             `max_cost` or `max_calls` would be exceeded
├── DeadlineError           `run_deadline` was exceeded
├── ServerError             a remote server was unreachable or went away during a run
└── UnrecordedError         a call is not recorded, and only recorded calls were allowed

MoAError derives from RuntimeError because the Agent Server passes the text of RuntimeErrors on to clients and hides
that of unknown classes. It does not derive from ValueError, so that an error raised inside a pydantic validator
reaches the caller unwrapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "AggregationError",
    "BudgetError",
    "ConfigError",
    "DeadlineError",
    "InputError",
    "MissingKeyError",
    "MoAError",
    "NotEnoughDraftsError",
    "ServerError",
    "UnrecordedError",
]


class MoAError(RuntimeError):
    """Base class of all errors of this package.

    Args:
        message: What is wrong, where, and what to do.
        drafts: The drafts that the run had received.

    Attributes:
        drafts: The drafts (`moa_graph.Draft`) that the run had received; empty when nothing was sent.
        notes: The notes (`moa_graph.Note`) of the combiner that the run had received.
        cost: Dollars that failed aggregator calls cost besides the drafts and the notes; None when unknown.
    """

    def __init__(self, message: str, *, drafts: Sequence[Any] = ()) -> None:
        super().__init__(message)
        # Typed as Any: this module imports nothing of the package, so that every other module can import it.
        self.drafts: list[Any] = list(drafts)
        self.notes: list[Any] = []
        self.cost: float | None = 0.0


class ConfigError(MoAError):
    """A mixture, preset, file, context or thread cannot be used.

    Attributes:
        problems: For wrong fields: the path and the reason of each, such as `(("proposers", 0, "temperature"), "...")`.
    """

    problems: tuple[tuple[tuple[str | int, ...], str], ...] = ()


class MissingKeyError(ConfigError):
    """API keys are missing. The message lists every missing variable.

    Args:
        message: What is wrong, where, and what to do.
        names: The names of the missing environment variables.

    Attributes:
        names: The names of the missing environment variables.
    """

    def __init__(self, message: str, *, names: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.names: list[str] = list(names)


class InputError(MoAError):
    """The messages cannot be answered. Raised before any request is sent."""


class NotEnoughDraftsError(MoAError):
    """A layer has too few successful drafts. The message gives the reason of each failure."""


class AggregationError(MoAError):
    """No aggregator produced a complete answer. `drafts` holds the drafts."""


class BudgetError(MoAError):
    """The next step would exceed `max_cost` or `max_calls`. No further request was sent."""


class DeadlineError(MoAError):
    """The run exceeded `run_deadline`."""


class ServerError(MoAError):
    """A remote server was unreachable or went away before the run ended. A retry may help."""


class UnrecordedError(MoAError):
    """A call is not in the ledger, and the caller allowed recorded calls only."""
