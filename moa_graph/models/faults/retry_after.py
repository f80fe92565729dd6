"""Read when a provider asks for the next attempt."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from moa_graph.models.faults.bodies import error_in, message_in, parsed
from moa_graph.models.faults.reading import body_of, get, header, response_of, status_of

__all__ = ["retry_after"]

_SPANS: Final = r"(?:\d{1,9}(?:\.\d{1,9})? ?[a-z]{1,12}\.?,? ?){1,4}"
_ONLY_SPANS: Final = re.compile(_SPANS, re.I)
_AGAIN: Final = re.compile(
    rf"(?:try again|retry|available(?: again)?|resets?|wait)(?: (?:in|after|for))? {{1,3}}({_SPANS})", re.I
)
_SPAN: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?([a-z]{1,12})", re.I)
_UNITS: Final = {
    "ms": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3, "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0,
    "seconds": 1.0, "m": 60.0, "min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hour": 3600.0,
    "hours": 3600.0, "d": 86400.0, "day": 86400.0, "days": 86400.0,
}  # fmt: skip
_LONGEST: Final = 86400.0

_EPOCH: Final = 1e9
"""Seconds. A longer wait is a time since 1970, in seconds or in milliseconds."""

_HEADERS: Final = (("retry-after-ms", 1e-3), ("x-ms-retry-after-ms", 1e-3), ("retry-after", 1.0))
_FIELDS: Final = (
    ("retry_after_ms", 1e-3), ("retry_after", 1.0), ("retry_after_seconds", 1.0), ("retryafter", 1.0),
    ("retrydelay", 1.0), ("quotaresetdelay", 1.0), ("estimated_time", 1.0), ("retry-after", 1.0),
    ("resets_in_seconds", 1.0), ("resets_at", 1.0),
)  # fmt: skip
"""The fields of a body, in lower case, in which servers state a wait, with their units. `estimated_time` is that of a
model that is being loaded."""


_RESET: Final = re.compile(r"[a-z-]{0,20}rate-?limit-(?:reset(?:-[a-z-]{1,30})?|[a-z-]{1,30}-reset)")
"""Headers with the reset of a limit: OpenAI's ``x-ratelimit-reset-tokens``, ``anthropic-ratelimit-tokens-reset``."""
_PLAIN_RESET: Final = "x-ratelimit-reset"
"""A header that some servers send with every reply."""


def retry_after(exc: BaseException, *, now: float | None = None) -> float | None:
    """Return the seconds that the provider asks to wait, or None. Never negative, never infinite.

    Reads `retry-after-ms`, `x-ms-retry-after-ms`, `retry-after` (seconds, a time since 1970 or a date, taken against
    the reply's own `date` when it has one), then a field of the body such as `retryDelay` or `retry_after`, then words
    such as "try again in 2s", then the time at which an exhausted limit is reset.
    """
    response = response_of(exc)
    holder = response if header(response, "retry-after") or header(response, "retry-after-ms") else None
    holder = holder or (exc if isinstance(get(exc, "headers"), Mapping) else response)
    start = _date(header(holder, "date"))
    start = start if start is not None else time.time() if now is None else now
    for name, unit in _HEADERS:
        seconds = _in_header(header(holder, name) or "", unit, start)
        if seconds is not None:
            return seconds
    dated = _date(header(holder, "retry-after"))
    return max(0.0, min(dated - start, _LONGEST)) if dated is not None else _said(exc, start)


def _in_header(text: str, unit: float, start: float) -> float | None:
    """Return the longest of a header's numbers, since gateways repeat headers, or a span such as "1m30s"."""
    numbers = [_number(part, unit, start) for part in text.split(",")]
    known = [number for number in numbers if number is not None]
    if len(known) == len(numbers):
        return max(known)
    return _span(text) if _ONLY_SPANS.fullmatch(text) else None


def _span(text: str) -> float | None:
    spans = [(float(number), _UNITS.get(unit.lower())) for number, unit in _SPAN.findall(text)]
    known = [number * unit for number, unit in spans if unit is not None]
    return min(sum(known), _LONGEST) if known else None


def _number(text: object, unit: float, start: float) -> float | None:
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return None
    try:
        given = float(text or "nan")
    except (ValueError, OverflowError):
        return None
    if math.isnan(given):
        return None
    # Some servers state a time in place of a wait.
    seconds = (given / (1e3 if given >= 1e3 * _EPOCH else 1.0)) - start if given >= _EPOCH else given * unit
    return max(0.0, min(seconds, _LONGEST))


def _date(text: str | None) -> float | None:
    """Return the time of an HTTP date, or of one in the form of ISO 8601."""
    if not text:
        return None
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(text)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None


def _said(exc: BaseException, start: float) -> float | None:
    places = list(_places(exc))
    for place in places:
        for name, unit in _FIELDS:
            if (seconds := _wait(place.get(name), unit, start)) is not None:
                return seconds
    if again := _AGAIN.search(message_in(body_of(exc))[:2000]):
        return _span(again[1])
    if status_of(exc) != 429:
        return None
    return _reset(places, start)


def _reset(places: Iterable[dict[str, Any]], start: float) -> float | None:
    """Return the longest wait for the reset of a limit that is used up, or of one of which only the reset is stated."""
    used, stated = [], []
    for place in places:
        for name, value in place.items():
            if not _RESET.fullmatch(name) or (seconds := _wait(value, 1.0, start)) is None:
                continue
            left = place.get(name.replace("reset", "remaining"))
            used += [seconds] if str(left) == "0" else []
            stated += [seconds] if left is None and name != _PLAIN_RESET else []
    return max(used or stated, default=None)


def _wait(given: object, unit: float, start: float) -> float | None:
    if isinstance(given, Mapping):  # a duration of protobuf
        given = given.get("seconds")
    number = _number(given, unit, start)
    if number is not None or not isinstance(given, str):
        return number
    if _ONLY_SPANS.fullmatch(given):
        return _span(given)
    dated = _date(given)
    return None if dated is None else max(0.0, min(dated - start, _LONGEST))


def _places(exc: BaseException) -> Iterator[dict[str, Any]]:
    """Yield the objects in which servers state a wait, with their names in lower case."""
    response = response_of(exc)
    # The SDK keeps the field `error` of a body only. The wait may stand beside it.
    for body in (error_in(body_of(exc)), parsed(get(response, "text"))):
        yield from _objects_in(body) if isinstance(body, Mapping) else ()
    headers = get(response, "headers")
    if isinstance(headers, Mapping):
        yield _lower(headers)


def _objects_in(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the details of an error, the error and its metadata, each with its own metadata and headers behind it."""
    details = body.get("details")
    for place in (*(details if isinstance(details, list) else ()), body, body.get("metadata")):
        inner = (place, place.get("metadata"), place.get("headers")) if isinstance(place, Mapping) else ()
        yield from (_lower(each) for each in inner if isinstance(each, Mapping))


def _lower(place: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name).lower(): value for name, value in place.items()}
