"""Server-sent events from bytes."""

from __future__ import annotations

import json

from moa_graph.models.limits import MAX_EVENT_BYTES, ReplyTooLarge

_BOM = b"\xef\xbb\xbf"


def _error(said: bytes) -> bytes:
    """Return an event in OpenAI's form for what a server says of an error."""
    return b'{"error": %b}' % (said if said.startswith(b"{") else json.dumps(said.decode("utf-8", "replace")).encode())


_ALIVE = (b"ping", b"heartbeat", b"keepalive", b"keep-alive")
"""Names of events that keep a connection open, whatever data they have."""

_IGNORED = (b":", b"id:", b"retry:")
"""Comments and fields without a meaning here."""


class Events:
    """Splits a stream into the data of its events. Lines may end in LF, CRLF or CR.

    Attributes:
        others: Lines without a frame, and data that is not a JSON object. Some servers report errors so, and some send
            one JSON object in several lines.
        done: Whether `[DONE]` came. The reader of the events sets it.
    """

    def __init__(self) -> None:
        self.others: list[bytes] = []
        self.done = False
        self._size = 0
        # The lines of an event, and the pieces of a line, may be millions: their sizes are counted as they come.
        self._partial: list[bytes] = [b""]
        self._partial_size = 0
        self._data: list[bytes] = []
        self._data_size = 0
        self._name = b""
        self._after_cr = False

    def feed(self, received: bytes) -> list[bytes]:
        """Return the data of every event that `received` completes. Events without data are skipped."""
        if self._after_cr or b"\r" in received:
            received = self._newlines(received)
        self._partial.append(received)
        self._partial_size += len(received)
        # Joining on every read would copy a long line again and again.
        found: list[bytes] = []
        if b"\n" in received:
            *blocks, rest = b"".join(self._partial).split(b"\n\n")
            for block in blocks:
                self._block(block, found)
            *lines, partial = rest.split(b"\n")
            found += [event for line in lines if (event := self._line(line))]
            self._partial, self._partial_size = [partial], len(partial)
        if self._partial_size + self._data_size > MAX_EVENT_BYTES:
            raise ReplyTooLarge("event of the stream", MAX_EVENT_BYTES)
        return found

    def end(self) -> list[bytes]:
        """Return what the stream's end completes: servers leave out the last blank line."""
        return self.feed(b"\n\n")

    def _block(self, block: bytes, found: list[bytes]) -> None:
        """Add the events of lines with a blank line after them: most often one event of one line."""
        if block.startswith(b"data: {") and b"\n" not in block and not (self._data or self._name):
            found.append(block[6:].strip())
            return
        found += [event for line in [*block.split(b"\n"), b""] if (event := self._line(line))]

    def _line(self, line: bytes) -> bytes | None:
        if line.startswith(_BOM[:1]):
            line = line.lstrip(_BOM)  # some servers begin every event with a byte order mark
        if line.startswith(b"data:"):
            data, before = line[5:].removeprefix(b" "), None
            # Some servers leave out the blank line. In one JSON value no line begins so after one that ends so.
            if self._data and data.startswith((b"{", b"[DONE]")) and self._data[-1].rstrip().endswith(b"}"):
                before = self._event()
            self._data.append(data)
            self._data_size += len(line)
            return before
        if line.startswith(b"{") and line.rstrip().endswith(b"}"):
            return line  # JSON without a frame, as some servers report errors
        if line.startswith(b"error:"):  # llama.cpp reports errors in a field of that name
            return _error(line[6:].strip())
        if line.startswith(b"event:"):
            self._name = line[6:].strip()
        elif not line:
            return self._event()
        elif not line.startswith(_IGNORED):
            self._keep(line)
        return None

    def _event(self) -> bytes | None:
        event, name = b"\n".join(self._data).strip().lstrip(_BOM), self._name
        event = event.removeprefix(b"data:").lstrip()  # some gateways put an event with its frame into another frame
        self._data, self._data_size, self._name = [], 0, b""
        if name in _ALIVE:
            return None
        if event and name == b"error":
            return _error(event)
        if event.startswith((b"{", b"[DONE]")):
            return event
        self._keep(event)
        return None

    def _keep(self, other: bytes) -> None:
        self._size += len(other)
        if self._size > MAX_EVENT_BYTES:
            raise ReplyTooLarge("event of the stream", MAX_EVENT_BYTES)
        if other:
            self.others.append(other)

    def _newlines(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
