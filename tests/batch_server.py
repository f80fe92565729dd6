"""A loopback server with the documented endpoints of a Batch API, in OpenAI's or Together's form.

Replies to a chat request depend on the request only, so that the direct way and a batch give the same ones. It records
what was run, and can be late, lose lines, let batches expire or fail, and refuse requests for a while.
"""

from __future__ import annotations

import email.parser
import email.policy
import hashlib
import json
import re
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Batches:
    """The server's state and its faults.

    Attributes:
        seconds: Time until a batch is completed.
        lose: Of how many lines each one fails with a 500; 0 for none.
        drop: Of how many lines each one is in no file; 0 for none.
        expire: How many batches expire with half of their lines unanswered.
        fail: How many batches fail as a whole.
        refuse: How many further requests to the batch endpoints get a 503.
        together: Whether the endpoints have Together's form.
        pause: Seconds between the work of a request to the batch endpoints and its reply.
        instead: What is answered in place of a reply: by "POST files", "POST batches", "GET batches", "GET batch" or
            "GET content".
        vary: Whether equal requests get different replies, as at a temperature above 0.
        seen: Requests to the batch endpoints.
        run: How often each request was run in a batch.
        direct: How often each request was sent directly.
    """

    seconds: float = 0.05
    lose: int = 0
    drop: int = 0
    expire: int = 0
    fail: int = 0
    refuse: int = 0
    together: bool = False
    pause: float = 0.0
    instead: dict[str, Any] = field(default_factory=dict)
    vary: bool = False
    seen: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    run: Counter[str] = field(default_factory=Counter)
    direct: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def number(self) -> int:
        return len(self.files) + len(self.batches) + 1


def completion(body: dict[str, Any]) -> dict[str, Any]:
    """The reply to a chat request: the same for the same conversation, whatever the codes of its boundaries.

    Models whose name begins with "judge" give a rating, those that begin with "chooser" a letter.
    """
    sent = re.sub(r"\b[0-9a-f]{16}\b", "code", json.dumps(body["messages"], sort_keys=True))
    mark = hashlib.sha256(f"{body['model']} {sent}".encode()).hexdigest()[:12]
    text = f"[[{1 + int(mark[0], 16) % 10}]]" if body["model"].startswith("judge") else f"reply {mark}"
    text = "m" if body["model"].startswith("chooser") else text
    choices = [
        {
            "index": n,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": text if text == "m" else f"{text} {n}"},
        }
        for n in range(int(body.get("n") or 1))
    ]
    usage = {"prompt_tokens": len(sent) // 4, "completion_tokens": 5 * len(choices)}
    usage["total_tokens"] = sum(usage.values())
    return {"id": f"chatcmpl-{mark}", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": choices, "usage": usage}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Batches

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        path = urlsplit(self.path).path
        if path == "/v1/chat/completions":
            given = json.loads(body)
            with self.state.lock:
                self.state.direct[hashlib.sha256(body).hexdigest()] += 1
            self._send(completion(given))
        elif self._refused():
            return
        elif path == ("/v1/files/upload" if self.state.together else "/v1/files"):
            self._answer("POST files", self._uploaded(body))
        elif path == "/v1/batches":
            made = self._made(json.loads(body))
            self._answer("POST batches", {"job": made} if self.state.together else made)
        else:
            self._send({"error": {"message": "no such page"}}, 404)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        parts = url.path.strip("/").split("/")
        if self._refused():
            return
        if parts[1:] == ["batches"]:
            self._answer("GET batches", self._listed(parse_qs(url.query)))
        elif parts[1] == "batches" and parts[2] in self.state.batches:
            self._answer("GET batch", self._seen(self.state.batches[parts[2]]))
        elif parts[1] == "files" and parts[3:] == ["content"] and parts[2] in self.state.files:
            self._answer("GET content", self.state.files[parts[2]])
        else:
            self._send({"error": {"message": "no such page"}}, 404)

    def _answer(self, endpoint: str, value: Any) -> None:
        self._send(*self.state.instead.get(endpoint, (value,)))

    def _refused(self) -> bool:
        with self.state.lock:
            self.state.seen += 1
            if not self.state.refuse:
                return False
            self.state.refuse -= 1
        self._send({"error": {"message": "overloaded"}}, 503)
        return True

    def _uploaded(self, body: bytes) -> dict[str, Any]:
        head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
        form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        fields = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
        assert fields["purpose"].get_content().strip() == ("batch-api" if self.state.together else "batch")
        data = fields["file"].get_payload(decode=True)
        assert isinstance(data, bytes)
        with self.state.lock:
            name = f"file-{self.state.number()}"
            self.state.files[name] = data
        return {"id": name, "object": "file", "purpose": "batch", "bytes": len(data)}

    def _made(self, given: dict[str, Any]) -> dict[str, Any]:
        assert given["endpoint"] == "/v1/chat/completions"
        lines = [json.loads(line) for line in self.state.files[given["input_file_id"]].splitlines()]
        models = {line["body"]["model"] for line in lines}
        with self.state.lock:
            name = f"batch_{self.state.number()}"
            batch = {"id": name, "object": "batch", "input_file_id": given["input_file_id"], "status": "in_progress",
                     "output_file_id": None, "error_file_id": None, "errors": None}  # fmt: skip
            self.state.batches[name] = batch | {"ready": time.monotonic() + self.state.seconds}
            if len(models) > 1 or self.state.fail:
                self.state.fail = max(0, self.state.fail - 1)
                self.state.batches[name] |= {"ends": "failed", "errors": {"data": [{"message": "a file of one model"}]}}
            else:
                self._execute(self.state.batches[name], lines)
        return self._seen(self.state.batches[name])

    def _execute(self, batch: dict[str, Any], lines: list[dict[str, Any]]) -> None:
        state, done, failed = self.state, list[Any](), list[Any]()
        expired = bool(state.expire)
        state.expire -= expired
        batch["ends"] = "expired" if expired else "completed"
        for place, line in enumerate(lines, start=1):
            if not state.together:
                assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
            assert len(line["custom_id"]) <= 64
            if state.drop and place % state.drop == 0:
                continue
            if expired and place > len(lines) // 2:
                failed.append({"custom_id": line["custom_id"], "response": None,
                               "error": {"code": "batch_expired", "message": "This request expired."}})  # fmt: skip
            elif state.lose and place % state.lose == 0:
                body = {"error": {"message": "the server had an error", "type": "server_error"}}
                failed.append({"custom_id": line["custom_id"], "response": {"status_code": 500, "body": body}})
            else:
                state.run[json.dumps(line["body"], sort_keys=True)] += 1
                body = completion(line["body"])
                if state.vary:
                    body["choices"][0]["message"]["content"] += f" number {sum(state.run.values())}"
                reply = {"status_code": 200, "request_id": "r", "body": body}
                done.append({"id": "batch_req", "custom_id": line["custom_id"], "response": reply, "error": None})
        for kind, rows in (("output_file_id", done), ("error_file_id", failed)):
            if rows:
                batch[f"later_{kind}"] = name = f"file-{state.number()}"
                state.files[name] = b"".join(json.dumps(row).encode() + b"\n" for row in reversed(rows))

    def _listed(self, query: dict[str, list[str]]) -> Any:
        found = [self._seen(batch) for batch in reversed(self.state.batches.values())]
        if self.state.together:
            return found
        start = next((n + 1 for n, b in enumerate(found) if b["id"] == query.get("after", [""])[0]), 0)
        page = found[start : start + 2]
        return {"object": "list", "data": page, "has_more": start + 2 < len(found)}

    def _seen(self, batch: dict[str, Any]) -> dict[str, Any]:
        shown = {name: value for name, value in batch.items() if name not in ("ready", "ends") and "later" not in name}
        if time.monotonic() >= batch["ready"]:
            shown["status"] = batch["ends"]
            shown |= {name.removeprefix("later_"): value for name, value in batch.items() if "later_" in name}
        return {**shown, "status": shown["status"].upper()} if self.state.together else shown

    def _send(self, value: Any, status: int = 200) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        if not self.path.endswith("/chat/completions"):
            time.sleep(self.state.pause)
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let clients be killed in the middle of a request; anything else is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class BatchServer:
    """The server, in a thread of its own.

    Attributes:
        state: What it has seen, and its faults.
        url: The base URL.
    """

    def __init__(self, **faults: Any) -> None:
        self.state = Batches(**faults)

    def __enter__(self) -> BatchServer:
        handler = type("Bound", (Handler,), {"state": self.state})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/v1"
