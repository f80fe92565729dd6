"""A loopback server that speaks LangSmith's ingest protocol (GET /info, POST /runs/multipart, zstd) and keeps all runs.

with LangSmithSink() as sink, sink.tracing():
    graph.invoke(...)
    tree = sink.tree()                      # every span that arrived, as parents and children
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import zstandard
from langsmith import Client, tracing_context

INFO = {
    "version": "0.0.0",
    "instance_flags": {"zstd_compression_enabled": True},
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "size_limit": 100,
        "size_limit_bytes": 20_000_000,
        "scale_up_nthreads_limit": 1,
        "scale_up_qsize_trigger": 1000,
        "scale_down_nempty_trigger": 4,
    },
}


@dataclass
class Span:
    """One run in the form that LangSmith shows."""

    run: dict[str, Any]
    children: list["Span"] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.run["name"]

    @property
    def metadata(self) -> dict[str, Any]:
        return self.run["extra"].get("metadata", {})

    def walk(self) -> Iterator["Span"]:
        yield self
        for child in self.children:
            yield from child.walk()

    def find(self, name: str) -> "Span":
        (found,) = [span for span in self.walk() if span.name == name]
        return found


class LangSmithSink:
    """The server in a thread. `url` is the value for LANGSMITH_ENDPOINT; `bodies` are the unpacked requests."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.bodies: list[bytes] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="langsmith", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    @contextmanager
    def tracing(self, **options: Any) -> Iterator[Client]:
        """Trace the block to this server. All traces have arrived at its end. `options` are the client's."""
        client = Client(api_url=self.url, api_key="lsv2_not_a_key", **options)
        try:
            with tracing_context(client=client, enabled=True, project_name="tests"):
                yield client
        finally:
            client.flush()
            client.cleanup()
            client.session.close()

    def tree(self) -> Span:
        """Return the only root span with all its descendants, in the order of their start."""
        spans = {run_id: Span(run) for run_id, run in self.runs.items()}
        roots = []
        for span in sorted(spans.values(), key=lambda span: span.run["dotted_order"]):
            parent = span.run.get("parent_run_id")
            (spans[parent].children if parent else roots).append(span)
        (root,) = roots
        return root

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._reply(200 if self.path == "/info" else 404, INFO)

            def do_POST(self) -> None:
                body = self._body()
                if self.path != "/runs/multipart":
                    return self._reply(404, {"detail": "not here"})
                if self.headers.get("content-encoding") == "zstd":
                    body = zstandard.ZstdDecompressor().decompressobj().decompress(body)
                sink.take(self.headers["content-type"], body)
                return self._reply(202, {"message": "accepted"})

            def _body(self) -> bytes:
                if "chunked" not in self.headers.get("transfer-encoding", ""):
                    return self.rfile.read(int(self.headers["content-length"]))
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def _reply(self, status: int, body: Any) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        return Handler

    def take(self, content_type: str, body: bytes) -> None:
        """Record one request. Parts are named `post.ID`, `patch.ID`, and `post.ID.inputs` for single fields."""
        self.bodies.append(body)
        whole = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
        for part in whole.iter_parts():
            name = part.get_param("name", header="content-disposition")
            kind, run_id, *fields = str(name).split(".")
            value = json.loads(part.get_payload(decode=True))
            run = self.runs.setdefault(run_id, {})
            if kind in ("post", "patch"):
                run.update({fields[0]: value} if fields else {k: v for k, v in value.items() if v is not None})
