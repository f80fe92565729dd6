"""What can go wrong, as one tree.

MoAError
├── ConfigError             the mixture, a preset, a file or a context is wrong
│   └── MissingKeyError     provider keys are absent from the environment
├── InputError              the messages cannot be answered as they are
├── NotEnoughDraftsError    a layer ended with fewer counted drafts than `min_drafts`
├── AggregationError        the aggregator and all its fallbacks failed
├── BudgetError             `max_cost` or `max_calls` would be passed
└── DeadlineError           `run_deadline` has passed

None of them derives from `ValueError`: raised inside a pydantic validator they reach the caller unwrapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moa_graph.state import Draft

__all__ = [
    "AggregationError",
    "BudgetError",
    "ConfigError",
    "DeadlineError",
    "InputError",
    "MissingKeyError",
    "MoAError",
    "NotEnoughDraftsError",
]


class MoAError(Exception):
    """Base of every error this package raises on purpose.

    `drafts` holds what the run had already paid for (empty when nothing was sent); `cost` is what its aggregators took
    beside them, in dollars, None when that is not known.
    """

    def __init__(self, message: str, *, drafts: Sequence[Draft] = ()) -> None:
        super().__init__(message)
        self.drafts: list[Draft] = list(drafts)
        self.cost: float | None = 0.0


class ConfigError(MoAError):
    """A mixture, preset, file, context or thread cannot be used as it is."""


class MissingKeyError(ConfigError):
    """Keys are missing; the message names every variable at once. `names` lists them."""

    def __init__(self, message: str, *, names: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.names: list[str] = list(names)


class InputError(MoAError):
    """The messages cannot be answered: refused before any request is sent."""


class NotEnoughDraftsError(MoAError):
    """Too few counted drafts in a layer; the message gives every proposer's real reason."""


class AggregationError(MoAError):
    """No aggregator produced a whole answer; the drafts are attached."""


class BudgetError(MoAError):
    """The next step would pass `max_cost` or `max_calls`; nothing more was sent."""


class DeadlineError(MoAError):
    """The run's own deadline has passed."""
