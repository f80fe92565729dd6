"""Callers' own models of SDKs that retry: each attempt is one request."""

import http.server
import threading

from _run import main

from moa_graph import NotEnoughDraftsError, create_moa


class Failing(http.server.BaseHTTPRequestHandler):
    count = 0

    def do_POST(self):
        type(self).count += 1
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b'{"message": "boom", "error": {"message": "boom"}}'
        self.send_response(500)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


async def _one_request(made):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Failing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Failing.count = 0
    model = made(f"http://127.0.0.1:{server.server_port}")
    try:
        await create_moa(proposers=[model], aggregator=model, max_attempts=1).ainvoke({"messages": "hi"})
    except NotEnoughDraftsError as error:
        assert "500" in str(error), error
    server.shutdown()
    assert Failing.count == 1, Failing.count


async def cohere():
    from langchain_cohere import ChatCohere

    await _one_request(lambda url: ChatCohere(model="x", cohere_api_key="x", base_url=url))


async def litellm():
    from langchain_litellm import ChatLiteLLM

    await _one_request(lambda url: ChatLiteLLM(model="openai/x", api_base=f"{url}/v1", api_key="x"))


async def groq():
    from langchain_groq import ChatGroq

    await _one_request(lambda url: ChatGroq(model="x", api_key="x", base_url=url))


main(globals())
