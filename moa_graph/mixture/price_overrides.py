"""Prices that a mixture gives for its own models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, NotRequired, Self

from pydantic import Field
from typing_extensions import TypedDict

from moa_graph.errors import ConfigError
from moa_graph.mixture.validation import config_error, refuse_unknown
from moa_graph.state.field_errors import FieldProblem

_MOST = 1e9
"""Dollars per million tokens; more is a mistake."""


class Dated(TypedDict):
    """A price with that of cached tokens, the part of it that a batch costs, and the day it was looked up."""

    input: Annotated[float, Field(description="Dollars per million input tokens.")]
    output: Annotated[float, Field(description="Dollars per million output tokens.")]
    cache_read: NotRequired[Annotated[float, Field(description="Dollars per million tokens read from a cache.")]]
    cache_write: NotRequired[Annotated[float, Field(description="Dollars per million tokens written to a cache.")]]
    cache_write_1h: NotRequired[
        Annotated[float, Field(description="Dollars per million tokens written to a cache for an hour.")]
    ]
    batch: NotRequired[Annotated[float, Field(description="The part of these prices that a batch costs.")]]
    date: NotRequired[Annotated[str, Field(description="The day on which the price was looked up.")]]


Price = Annotated[list[float], Field(min_length=2, max_length=2)] | Dated
"""The field of a mixture."""

Override = Sequence[float] | Mapping[str, Any]
"""(input, output), or a mapping as `Dated` describes it: dollars per million tokens."""


class Rates(NamedTuple):
    """Dollars per million tokens.

    Attributes:
        batch: The part of these prices that a request in a batch costs, such as 0.5.
    """

    input: float
    output: float
    cache_read: float
    cache_write: float
    cache_write_1h: float
    batch: float = 1.0

    @classmethod
    def of(
        cls,
        input: float,
        output: float,
        cache_read: float | None = None,
        cache_write: float | None = None,
        cache_write_1h: float | None = None,
        batch: float = 1.0,
    ) -> Self:
        """Return rates in which cached tokens cost as much as other input unless they have a price.

        Tokens that a cache keeps for an hour cost as much as other written ones unless they have a price.
        """
        written = input if cache_write is None else cache_write
        return cls(
            float(input),
            float(output),
            float(input if cache_read is None else cache_read),
            float(written),
            float(written if cache_write_1h is None else cache_write_1h),
            float(batch),
        )


def rates(name: str, price: Override) -> Rates:
    """Return the rates that `price`, the entry of `name`, gives.

    Raises:
        ConfigError: `price` is malformed.
    """
    if isinstance(price, Mapping):
        refuse_unknown(price, Dated.__annotations__, what=f"prices[{name!r}]")
        given = {key: value for key, value in price.items() if key != "date"}
    else:
        pair = list(price) if isinstance(price, list | tuple) else []
        given = dict(zip(("input", "output"), pair, strict=True)) if len(pair) == 2 else {}
    bad = [v for v in given.values() if isinstance(v, bool) or not isinstance(v, int | float) or not 0 <= v <= _MOST]
    if bad or not {"input", "output"} <= given.keys():
        raise ConfigError(
            f'prices[{name!r}]: give dollars per million tokens as [input, output] or {{"input": ..., "output": ...}}.'
        )
    return Rates.of(**given)


def checked_prices(given: Any) -> Any:
    """Return a mixture's `prices` as plain data, so that a malformed price is refused before the first request.

    Raises:
        ConfigError: A price is malformed.
    """
    if not isinstance(given, Mapping):
        return given
    problems = []
    for name, price in given.items():
        try:
            rates(str(name), price)
        except ConfigError as exc:
            problems.append(FieldProblem((str(name),), str(exc).removeprefix(f"prices[{name!r}]: ")))
    if problems:
        raise config_error(problems, what="prices")
    return {name: _plain(price) for name, price in given.items()}


def _plain(price: Any) -> Any:
    if not isinstance(price, Mapping):
        return list(price) if isinstance(price, tuple) else price
    # YAML makes a date of a text that looks like one.
    return {name: str(value) if name == "date" else value for name, value in price.items()}
