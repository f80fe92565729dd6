"""Read when a provider asks for the next attempt."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from moa_graph.models.faults.reading import body_of, error_in, get, header, message_in, response_of

__all__ = ["retry_after"]

_SPANS: Final = r"(?:\d{1,9}(?:\.\d{1,9})? ?[a-z]{1,12}\.?,? ?){1,4}"
_ONLY_SPANS: Final = re.compile(_SPANS, re.I)
_AGAIN: Final = re.compile(rf"(?:try again|retry|available again|wait)(?: (?:in|after|for))? {{1,3}}({_SPANS})", re.I)
_SPAN: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?([a-z]{1,12})", re.I)
_UNITS: Final = {
    "ms": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3, "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0,
    "seconds": 1.0, "m": 60.0, "min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hour": 3600.0,
    "hours": 3600.0,
}  # fmt: skip
_LONGEST: Final = 86400.0


def retry_after(exc: BaseException, *, now: float | None = None) -> float | None:
    """Return the seconds that the provider asks to wait, or None. Never negative, never infinite.

    Reads `retry-after-ms`, `x-ms-retry-after-ms`, `retry-after` (seconds or an HTTP date, taken against the reply's own
    `date` when it has one), then a `retryDelay` or `retry_after` in the body, then words such as "try again in 2s".
    """
    response = response_of(exc)
    holder = response if header(response, "retry-after") or header(response, "retry-after-ms") else None
    holder = holder or (exc if isinstance(get(exc, "headers"), Mapping) else response)
    for name, unit in (("retry-after-ms", 1e-3), ("x-ms-retry-after-ms", 1e-3), ("retry-after", 1.0)):
        seconds = _in_header(header(holder, name) or "", unit)
        if seconds is not None:
            return seconds
    dated = _until(header(holder, "retry-after"), header(holder, "date"), now)
    return dated if dated is not None else _said(exc)


def _in_header(text: str, unit: float) -> float | None:
    """Return the longest of a header's numbers, since gateways repeat headers, or a span such as "1m30s"."""
    numbers = [_number(part, unit) for part in text.split(",")]
    known = [number for number in numbers if number is not None]
    if len(known) == len(numbers):
        return max(known)
    return _span(text) if _ONLY_SPANS.fullmatch(text) else None


def _span(text: str) -> float | None:
    spans = [(float(number), _UNITS.get(unit.lower())) for number, unit in _SPAN.findall(text)]
    known = [number * unit for number, unit in spans if unit is not None]
    return min(sum(known), _LONGEST) if known else None


def _number(text: object, unit: float) -> float | None:
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return None
    try:
        value = float(text or "nan") * unit
    except (ValueError, OverflowError):
        return None
    return max(0.0, min(value, _LONGEST)) if not math.isnan(value) else None


def _until(text: str | None, date: str | None, now: float | None) -> float | None:
    try:
        then = parsedate_to_datetime(text or "").timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    try:
        start = parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        start = time.time() if now is None else now
    return max(0.0, min(then - start, _LONGEST))


def _said(exc: BaseException) -> float | None:
    body = body_of(exc)
    error = error_in(body)
    details = error.get("details")
    for detail in details if isinstance(details, list) else []:
        delay = detail.get("retryDelay") if isinstance(detail, Mapping) else None
        if isinstance(delay, str) and delay.endswith("s"):
            return _number(delay[:-1], 1.0)
    for name, unit in (("retry_after_ms", 1e-3), ("retry_after", 1.0), ("retry_after_seconds", 1.0)):
        if (seconds := _number(error.get(name), unit)) is not None:
            return seconds
    again = _AGAIN.search(message_in(body)[:2000])
    return _span(again[1]) if again else None
