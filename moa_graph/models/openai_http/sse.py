"""Server-sent events and JSON from bytes."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from moa_graph.models.limits import MAX_EVENT_BYTES, MAX_JSON_VALUES, ReplyTooLarge

_BOM = b"\xef\xbb\xbf"
_JSON_BEGINS = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*[{\[\"0-9tfn-]")


def loads(data: bytes) -> Any:
    """Parse JSON as the SDK does: fast when it is strict, with the standard library when it is not.

    The standard library accepts lone surrogates and NaN, and text after the first value is ignored here.

    Raises:
        ValueError: the data is not JSON, or not UTF-8.
        ReplyTooLarge: it holds too many values.
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
        return json.JSONDecoder().raw_decode(data.removeprefix(_BOM).decode("utf-8").lstrip())[0]
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def _error(said: bytes) -> bytes:
    """Return an event in OpenAI's form for what a server says of an error."""
    return b'{"error": %b}' % (said if said.startswith(b"{") else json.dumps(said.decode("utf-8", "replace")).encode())


class Events:
    """Splits a stream into the data of its events. Lines may end in LF, CRLF or CR."""

    def __init__(self) -> None:
        self._partial: list[bytes] = [b""]
        self._data: list[bytes] = []
        self._name = b""
        self._after_cr = False
        self._started = False

    def feed(self, received: bytes) -> list[bytes]:
        """Return the data of every event that `received` completes. Events without data are skipped."""
        if self._after_cr or b"\r" in received:
            received = self._newlines(received)
        self._partial.append(received)
        # Joining on every read would copy a long line again and again.
        lines = [] if b"\n" not in received else b"".join(self._partial).split(b"\n")
        if lines:
            self._partial = [lines.pop()]
        found = [event for line in lines if (event := self._line(line))]
        if sum(map(len, self._partial)) + sum(map(len, self._data)) > MAX_EVENT_BYTES:
            raise ReplyTooLarge("event of the stream", MAX_EVENT_BYTES)
        return found

    def end(self) -> list[bytes]:
        """Return what the stream's end completes: servers leave out the last blank line."""
        return self.feed(b"\n\n")

    def _line(self, line: bytes) -> bytes | None:
        if not self._started:
            line, self._started = line.removeprefix(_BOM), True
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif line.startswith(b"{"):
            return line  # JSON without a frame, as some servers report errors
        elif line.startswith(b"error:"):  # llama.cpp reports errors in a field of that name
            return _error(line[6:].strip())
        elif line.startswith(b"event:"):
            self._name = line[6:].strip()
        elif not line:
            event, name = b"\n".join(self._data).strip(), self._name
            self._data, self._name = [], b""
            return _error(event) if event and name == b"error" else event
        return None

    def _newlines(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
