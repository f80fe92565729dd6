"""Server-sent events from bytes."""

from __future__ import annotations

import json

from moa_graph.models.limits import MAX_EVENT_BYTES, ReplyTooLarge

_BOM = b"\xef\xbb\xbf"


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
