"""A judge on loopback that reads what it is shown: it prefers the answer that holds the word "good"."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ScriptedJudge:
    """The server's address, the prompts it was asked, and after how many it stops answering.

    With `fails_after` set, later requests are refused with 503, as by a provider that goes down in the middle.
    """

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.fails_after: int | None = None
        self.url = ""

    def reply(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.fails_after is not None and len(self.prompts) >= self.fails_after:
            return 503, {"error": {"message": "down"}}
        prompt = request["messages"][-1]["content"]
        self.prompts.append(prompt)
        first, second = re.findall(r"\(m\): (.*)\nSecond \(M\): (.*)", prompt)[0]
        share = 0.9 if "good" in first else 0.1 if "good" in second else 0.5
        word = "m" if share >= 0.5 else "M"
        top = [{"token": "m", "logprob": _log(share)}, {"token": "M", "logprob": _log(1 - share)}]
        entry = {"token": word, "logprob": top[0]["logprob"], "top_logprobs": top}
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": word},
            "finish_reason": "stop",
            "logprobs": {"content": [entry]},
        }
        usage = {"prompt_tokens": 500, "completion_tokens": 1, "total_tokens": 501}
        body = {"id": "x", "object": "chat.completion", "created": 0, "model": request["model"]}
        return 200, {**body, "choices": [choice], "usage": usage}


def _log(share: float) -> float:
    import math

    return math.log(share)


@contextmanager
def scripted_judge() -> Iterator[ScriptedJudge]:
    """Serve a scripted judge on a free port of loopback."""
    judge = ScriptedJudge()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = judge.reply(request)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            """Requests are counted in `prompts`, not logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    judge.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield judge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
