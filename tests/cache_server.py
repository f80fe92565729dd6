"""A loopback provider that caches prompt prefixes as OpenAI documents: blocks of 128 tokens, from 1,024 tokens on."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import takewhile
from typing import Any

BLOCK, LEAST = 128, 1_024
"""Tokens of a block, and of the shortest prefix that is cached."""

ANSWER = 1_000
"""Characters of an answer."""


def prompt_of(body: dict[str, Any]) -> str:
    """What a model reads: tools first, then the messages in their order."""
    parts = [json.dumps(body.get("tools") or [])]
    parts += [f"<{message['role']}>{json.dumps(message['content'])[1:-1]}" for message in body["messages"]]
    return "".join(parts)


def common(one: str, other: str) -> int:
    """How many characters two texts have in common from their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def cached_tokens(prompt: str, earlier: list[str]) -> int:
    """The tokens of the longest prefix that is in the cache, at four characters a token."""
    longest = max((common(prompt, old) for old in earlier), default=0)
    blocks = longest // 4 // BLOCK * BLOCK
    return blocks if blocks >= LEAST else 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        prompt, model = prompt_of(body), body["model"]
        with self.server.lock:
            earlier = self.server.prompts[model]
            cached = cached_tokens(prompt, earlier)
            earlier.append(prompt)
            text = f"{len(earlier)}. " + (f"{model} says so. " * ANSWER)[:ANSWER]
        sent, got = len(prompt) // 4, len(text) // 4
        usage = {"prompt_tokens": sent, "completion_tokens": got, "total_tokens": sent + got,
                 "prompt_tokens_details": {"cached_tokens": cached}}  # fmt: skip
        message = {"role": "assistant", "content": text}
        reply = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model, "usage": usage,
                 "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}  # fmt: skip
        data = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class CacheServer:
    """The provider, in a thread of its own."""

    def __enter__(self) -> CacheServer:
        self._server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.prompts, self._server.lock = defaultdict(list), threading.Lock()
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"
