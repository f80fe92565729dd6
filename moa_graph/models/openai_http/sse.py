"""Server-sent events from bytes, as they come in."""

from __future__ import annotations

import json
from typing import Any

import orjson


def loads(data: bytes) -> Any:
    """JSON as the SDK reads it: fast when it is strict JSON, by the standard library when it is not.

    The standard library takes lone surrogates and NaN, and its errors are the ones callers know.

    Raises:
        ValueError: it is no JSON, or no UTF-8.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data.decode("utf-8"))


class Events:
    """Splits a stream into the data of its events. Lines may end in LF, CRLF or CR."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """The data of every event that `data` completes; events without data are none."""
        if self._after_cr or b"\r" in data:
            data = self._newlines(data)
        self._parts.append(data)
        # Joining on every read would copy a long event over and over.
        if b"\n" not in data:
            return []
        *blocks, rest = b"".join(self._parts).split(b"\n\n")
        self._parts = [rest]
        return [found for block in blocks if (found := _data(block)) is not None]

    def _newlines(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _data(block: bytes) -> bytes | None:
    if block.startswith(b"data: ") and b"\n" not in block:
        return block[6:]
    lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
