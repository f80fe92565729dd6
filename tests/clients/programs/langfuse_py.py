"""Langfuse's callback handler: a run of a graph, or of a ChatMoA, is one trace that shows the proposers."""

import gzip
import http.server
import os
import threading

from _run import main
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from moa_graph import ChatMoA, create_moa

SPANS = []


class Sink(http.server.BaseHTTPRequestHandler):
    """An OTLP endpoint that keeps the spans."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        sent = ExportTraceServiceRequest()
        sent.ParseFromString(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
        for resource in sent.resource_spans:
            for scope in resource.scope_spans:
                SPANS.extend(scope.spans)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def traced(ask):
    """Return the spans of one run under Langfuse's handler, and the root among them."""
    SPANS.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_port}"
    os.environ.update(LANGFUSE_PUBLIC_KEY="pk", LANGFUSE_SECRET_KEY="sk", LANGFUSE_HOST=host, LANGFUSE_BASE_URL=host)
    from langfuse import get_client
    from langfuse.langchain import CallbackHandler

    ask({"callbacks": [CallbackHandler()]})
    get_client().flush()
    ids = {span.span_id for span in SPANS}
    (root,) = [span for span in SPANS if span.parent_span_id not in ids]
    assert len({span.trace_id for span in SPANS}) == 1
    return root


def shows_proposers(root):
    """Check that both proposers are generations below their nodes, with their usage."""
    ids = {span.span_id: span for span in SPANS}
    parents = {span.name: ids[span.parent_span_id].name for span in SPANS if span is not root}
    calls = [name for name in parents if name.startswith("layer 1 slot ")]
    assert len(calls) == 2 and all(parents[name].startswith(f"p{name[13]}-") for name in calls), parents
    attributes = {a.key: a.value.string_value for s in SPANS if s.name in calls for a in s.attributes}
    assert attributes["langfuse.observation.type"] == "generation"
    assert "input" in attributes["langfuse.observation.usage_details"]


def graph():
    moa = create_moa(os.environ["MIXTURE"])
    root = traced(lambda config: moa.invoke({"messages": "hi"}, config=config))
    assert root.name == "moa"
    shows_proposers(root)


def chat_model():
    moa = ChatMoA(os.environ["MIXTURE"])
    root = traced(lambda config: moa.invoke("hi", config=config))
    assert root.name == "ChatMoA"
    shows_proposers(root)


main(globals())
