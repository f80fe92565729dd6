"""Prices that a mixture gives for its own models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired

from typing_extensions import TypedDict

from moa_graph.errors import ConfigError
from moa_graph.mixture.validation import refuse_unknown

_MOST = 1e9
"""Dollars per million tokens; more is a mistake."""


class Dated(TypedDict):
    """A price with the day it was looked up."""

    input: float
    output: float
    date: NotRequired[str]


Override = Sequence[float] | Mapping[str, Any]
"""(input, output) or {"input": ..., "output": ..., "date": ...}: dollars per million tokens."""


def rates(name: str, price: Override) -> tuple[float, float]:
    """Dollars per million tokens in and out.

    Raises:
        ConfigError: `price` is none.
    """
    if isinstance(price, Mapping):
        refuse_unknown(price, Dated.__annotations__, what=f"prices[{name!r}]")
        pair = [price.get("input"), price.get("output")]
    else:
        pair = list(price) if isinstance(price, Sequence) else []
    good = [v for v in pair if isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v <= _MOST]
    if len(pair) != 2 or len(good) != 2:
        raise ConfigError(
            f'prices[{name!r}]: give dollars per million tokens as [input, output] or {{"input": ..., "output": ...}}.'
        )
    return float(good[0]), float(good[1])
