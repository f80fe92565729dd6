"""A loopback API that refuses requests which break its provider's rule, as the base of several providers' APIs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class RuledApi(ThreadingHTTPServer):
    """The server. Use it with `running`.

    Attributes:
        bodies: The requests so far.
        refused: How many of them were answered with a 400.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[dict[str, Any]] = []
        self.refused = 0

    @property
    def url(self) -> str:
        """The address, without a path."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Serve until the block ends."""
        with self:
            threading.Thread(target=self.serve_forever, daemon=True).start()
            yield self
            self.shutdown()

    def broken(self, body: dict[str, Any]) -> str:
        """Return the rule that a request breaks, in the API's words; empty when it breaks none."""
        raise NotImplementedError

    def error(self, words: str) -> dict[str, Any]:
        """Return the body of a 400."""
        return {"error": {"message": words, "type": "invalid_request_error", "code": 400, "status": "INVALID_ARGUMENT"}}

    def answer(self, body: dict[str, Any], path: str) -> Any:
        """Return the answer: an object, or the events of a stream."""
        raise NotImplementedError


class _Handler(BaseHTTPRequestHandler):
    server: RuledApi

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append(body)
        if words := self.server.broken(body):
            self.server.refused += 1
            return self._send(400, "application/json", json.dumps(self.server.error(words)))
        answer = self.server.answer(body, self.path)
        if not isinstance(answer, list):
            return self._send(200, "application/json", json.dumps(answer))
        named = (f"event: {each['type']}\n" if "type" in each else "" for each in answer)
        events = "".join(f"{name}data: {json.dumps(each)}\n\n" for name, each in zip(named, answer, strict=True))
        return self._send(200, "text/event-stream", events)

    def _send(self, status: int, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
