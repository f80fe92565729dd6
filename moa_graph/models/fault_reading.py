"""What a failed request says: its status, codes and words, and when to come back.

Reads exceptions by what they carry, so no SDK or HTTP client is imported, and never raises, whatever an
exception of a foreign class is made of.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["chain_of", "codes_of", "get", "header", "response_of", "retry_after", "status_of", "words_of"]

_AGAIN_IN = re.compile(r"(?:try again|retry) (?:in|after) ([\d.]+) ?(ms|milliseconds?|s|seconds?|m|minutes?)\b", re.I)


def chain_of(exc: BaseException) -> Iterator[BaseException]:
    """The exception and what it was raised from, outermost first; groups are looked into; ends for loops."""
    seen: set[int] = set()
    current: BaseException | None = exc
    while current is not None and id(current) not in seen and len(seen) < 8:
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup) and current.exceptions:
            current = current.exceptions[0]
        else:
            current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def get(thing: object, name: str) -> Any:
    """An attribute, or None: a foreign exception's property may itself raise."""
    try:
        return getattr(thing, name, None)
    except Exception:  # any property of any class; its failure is not the fault we report
        return None


def response_of(exc: BaseException) -> Any:
    return get(exc, "response")


def status_of(exc: BaseException) -> int | None:
    if type(exc).__module__ == "aiohttp.http_exceptions":
        return None  # aiohttp's own complaint about a broken reply, under a status that no server sent
    response = response_of(exc)
    for value in (
        get(exc, "status_code"),
        get(response, "status_code"),
        get(exc, "status"),
        get(exc, "http_status"),
        get(response, "status"),
        get(exc, "code"),
    ):
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
            return int(value)
    return None


def body_of(exc: BaseException) -> Mapping[str, Any]:
    """The provider's error object, wherever the client put it."""
    args = get(exc, "args")
    for body in (get(exc, "body"), *(args if isinstance(args, tuple) else ())):
        if isinstance(body, Mapping):
            inner = body.get("error")
            return inner if isinstance(inner, Mapping) else body
    return {}


def codes_of(exc: BaseException) -> Iterator[str]:
    body = body_of(exc)
    inner = body.get("innererror")
    for value in (
        get(exc, "code"),
        get(exc, "type"),
        body.get("code"),
        body.get("type"),
        body.get("status"),
        inner.get("code") if isinstance(inner, Mapping) else None,
    ):
        if isinstance(value, str):
            yield value.lower()


def words_of(chain: list[BaseException]) -> str:
    """The provider's own message if there is one, else the exception's, with what lies at its root."""
    for exc in chain:
        message = body_of(exc).get("message")
        if isinstance(message, str) and message.strip():
            return message
    outer, root = text_of(chain[0]), text_of(chain[-1])
    same = type(chain[0]).__name__ == type(chain[-1]).__name__ and isinstance(chain[0], ValueError)
    if get(chain[0], "body") is None and not same and root not in outer:
        return f"{outer.rstrip('.')}: {root}"  # "Connection error" alone says nothing
    return outer


def text_of(exc: BaseException) -> str:
    try:
        text = str(exc).strip()
    except Exception:  # a foreign __str__ may raise anything
        text = ""
    if re.search(r"(?i)<!doctype html|<html", text):
        title = re.search(r"(?is)<title>(.{0,300}?)</title>", text[:10_000])
        return "an HTML page instead of JSON" + (f": {title[1]}" if title else "")
    name = type(exc).__name__
    if isinstance(exc, KeyError | TypeError | IndexError | AttributeError | json.JSONDecodeError) or not text:
        return f"{name}: {text}" if text else name
    return text


def header(response: Any, name: str) -> str | None:
    headers = get(response, "headers")
    if not isinstance(headers, Mapping):
        return None
    value = headers.get(name, headers.get(name.title()))
    return value if isinstance(value, str) else None


def retry_after(exc: BaseException, *, now: float | None = None) -> float | None:
    """Seconds the provider asks to wait, or None.

    Reads `retry-after-ms`, `x-ms-retry-after-ms`, `retry-after` (seconds or an HTTP date, taken against the
    reply's own `date` when it has one), then a `retryDelay` or "try again in 2s" in the message. Never
    negative, never infinite.
    """
    response = response_of(exc)
    holder = response if header(response, "retry-after") or header(response, "retry-after-ms") else None
    holder = holder or (exc if isinstance(get(exc, "headers"), Mapping) else response)
    for name, unit in (("retry-after-ms", 1e-3), ("x-ms-retry-after-ms", 1e-3), ("retry-after", 1.0)):
        seconds = _number(header(holder, name), unit)
        if seconds is not None:
            return seconds
    dated = _until(header(holder, "retry-after"), header(holder, "date"), now)
    return dated if dated is not None else _said(exc)


def _number(text: str | None, unit: float) -> float | None:
    try:
        value = float(text or "") * unit
    except ValueError:
        return None
    return max(0.0, min(value, 86400.0)) if not math.isnan(value) else None


def _until(text: str | None, date: str | None, now: float | None) -> float | None:
    try:
        then = parsedate_to_datetime(text or "").timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    try:
        start = parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        start = time.time() if now is None else now
    return max(0.0, min(then - start, 86400.0))


def _said(exc: BaseException) -> float | None:
    body = body_of(exc)
    details = body.get("details")
    for detail in details if isinstance(details, list) else []:
        delay = detail.get("retryDelay") if isinstance(detail, Mapping) else None
        if isinstance(delay, str) and delay.endswith("s"):
            return _number(delay[:-1], 1.0)
    message = body.get("message")
    if isinstance(message, str) and (match := _AGAIN_IN.search(message)):
        unit = {"m": 1e-3 if match[2].lower().startswith(("ms", "mil")) else 60.0, "s": 1.0}[match[2][0].lower()]
        return _number(match[1].rstrip("."), unit)
    return None
