"""The part of LangSmith's HTTP API that one experiment needs, on loopback. It keeps all requests."""

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

NOW = "2026-01-01T00:00:00+00:00"


class LangSmith:
    """A server in a thread. `datasets`, `examples`, `sessions` and `feedback` have the received data."""

    def __init__(self) -> None:
        self.datasets: dict[str, dict[str, Any]] = {}
        self.examples: list[dict[str, Any]] = []
        self.sessions: list[dict[str, Any]] = []
        self.feedback: list[dict[str, Any]] = []
        self.seen: list[str] = []
        keeper = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                keeper.seen.append(f"{self.command} {self.path}")
                status, data = keeper.answer(self.command, self.path, body)
                text = json.dumps(data).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = do_PUT = _answer

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """One request's status and JSON."""
        parts = urlsplit(path)
        query = parse_qs(parts.query)
        what = parts.path.strip("/").removeprefix("api/v1/").removeprefix("v1/platform/").split("/")
        handler = getattr(self, f"_{method.lower()}_{what[0]}", None)
        return (200, {}) if handler is None else handler(query, json.loads(body) if body[:1] in b"[{" and body else {})

    def _get_datasets(self, query: dict[str, list[str]], _: Any) -> tuple[int, Any]:
        found = self.datasets.get(query.get("name", [""])[0])
        return 200, [found] if found else []

    def _post_datasets(self, _: Any, body: Any) -> tuple[int, Any]:
        if "name" not in body:
            return 200, {}
        made = {**body, "id": str(uuid.uuid4()), "created_at": NOW}
        self.datasets[body["name"]] = made
        return 200, made

    def _get_examples(self, query: dict[str, list[str]], _: Any) -> tuple[int, Any]:
        first = int(query.get("offset", ["0"])[0])
        return 200, self.examples[first:] if first < len(self.examples) else []

    def _post_examples(self, _: Any, body: Any) -> tuple[int, Any]:
        rows = body if isinstance(body, list) else [body]
        dataset = next(iter(self.datasets.values()))["id"]
        self.examples += [{"dataset_id": dataset, "created_at": NOW, "modified_at": NOW, **row} for row in rows]
        return 200, rows

    def _post_sessions(self, _: Any, body: Any) -> tuple[int, Any]:
        made = {"id": str(uuid.uuid4()), "tenant_id": str(uuid.uuid4()), "start_time": NOW, **body}
        self.sessions.append(made)
        return 200, made

    def _patch_sessions(self, _: Any, body: Any) -> tuple[int, Any]:
        self.sessions[-1] |= body
        return 200, self.sessions[-1]

    def _post_feedback(self, _: Any, body: Any) -> tuple[int, Any]:
        self.feedback += body if isinstance(body, list) else [body]
        return 200, body
