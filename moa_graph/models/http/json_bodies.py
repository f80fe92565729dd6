"""JSON from the bytes of a reply, with limits."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from moa_graph.models.limits import MAX_EVENT_BYTES, MAX_JSON_VALUES, ReplyTooLarge

__all__ = ["loads"]

_LONGEST_INT = 1000
"""Digits of the longest number that is read. Python refuses some thousands of them, and needs quadratic time."""


def _int(digits: str) -> int | None:
    return int(digits) if len(digits) <= _LONGEST_INT else None


_LENIENT = json.JSONDecoder(parse_int=_int)
_JSON_BEGINS = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*[{\[\"0-9tfn-]")


def loads(data: bytes) -> Any:
    """Parse JSON as the SDK does: fast when it is strict, with the standard library when it is not.

    The standard library accepts lone surrogates and NaN. Text after the first value is ignored, bytes that are not
    UTF-8 become U+FFFD, and integers of more than 1,000 digits become None.

    Raises:
        ValueError: The data is not JSON.
        ReplyTooLarge: The data holds too many values.
    """
    if len(data) > 2**20 and not _JSON_BEGINS.match(data):
        raise ValueError("the data does not begin as JSON does")  # the parser would check all of it for UTF-8 first
    if len(data) > 2**20 and data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_JSON_VALUES:
        raise ReplyTooLarge("JSON of the reply", MAX_JSON_VALUES, "values")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        if len(data) > MAX_EVENT_BYTES:  # the slow parser would stop the event loop for too long
            raise
    try:
        return _LENIENT.raw_decode(data.decode(json.detect_encoding(data), "replace").lstrip())[0]
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
