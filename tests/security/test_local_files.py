"""No conversation makes a model's package read a file of this machine or fetch an address."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from moa_graph import AggregationError, Mixture, Proposer, create_moa
from moa_graph.graph.prompts.conversation import passed_on
from moa_graph.graph.prompts.media import Abilities, abilities
from tests.fakes import Fake, fake

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(24)).decode()
JPEG, WEBP = (base64.b64encode(start + bytes(24)).decode() for start in (b"\xff\xd8\xff\xe0", b"RIFF1234WEBP"))
ADDRESS = "https://example.com/a.webp?size=2"


class Ollama(Fake):
    """A fake with the module of ChatOllama, whose client sends the content of a file in place of its path."""


Ollama.__module__ = "langchain_ollama.chat_models"


def ollama() -> Ollama:
    return Ollama(**vars(fake("llava", "a picture")))


def images(data: str) -> list[dict[str, Any]]:
    url = f"data:image/png;base64,{data}"
    other = {"image_url": {"url": f"data:image/png;base64,{PNG}"}}
    return [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": url},
        {"type": "input_image", "image_url": url},
        {"type": "image", "base64": data, "mime_type": "image/png"},
        {"type": "image", "source_type": "base64", "data": data, "mime_type": "image/png"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        {"type": "media", "data": data, "mime_type": "image/png"},
        {"type": "image", "base64": data, "mime_type": "image/png", **other},
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc//passwd",
        "Makefile",
        "aaaaaaaaaaaaaaaa",
        "/a/b/c/d/e/f/g/h/i/j",
        f"{PNG[:16]}/../../x",
        "é" * 40,
    ],
)
@pytest.mark.parametrize("notation", range(8))
async def test_a_path_in_place_of_an_image_is_not_given_to_ollamas_client(path: str, notation: int) -> None:
    model = ollama()
    graph = create_moa(Mixture(proposers=[model], aggregator=model, layers=1))
    with pytest.raises(AggregationError, match="takes no images of an unknown format"):
        await graph.ainvoke({"messages": [HumanMessage(["look", images(path)[notation]])]})
    assert not model.sent


@pytest.mark.parametrize("data", [PNG, JPEG, WEBP, f"\n{PNG[:20]}\n{PNG[20:]}", PNG * 2000])
@pytest.mark.parametrize("notation", range(8))
async def test_ollama_gets_images(data: str, notation: int) -> None:
    model = ollama()
    graph = create_moa(Mixture(proposers=[model], aggregator=model, layers=1))
    assert (await graph.ainvoke({"messages": [HumanMessage(["look", images(data)[notation]])]}))["record"]["calls"] == 1
    assert len(model.sent) == 1


async def test_ollama_takes_no_addresses_files_and_audio() -> None:
    model = ollama()
    graph = create_moa(Mixture(proposers=[model], aggregator=model, layers=1))
    blocks = {
        "images by their address": {"type": "image_url", "image_url": {"url": ADDRESS}},
        "files": {"type": "file", "base64": "AA", "mime_type": "application/pdf"},
        "audio": {"type": "audio", "base64": "AA", "mime_type": "audio/wav"},
    }
    for what, block in blocks.items():
        with pytest.raises(AggregationError, match=f"takes no {what}"):
            await graph.ainvoke({"messages": [HumanMessage(["look", block])]})
    assert not model.sent


@pytest.fixture
def gemini(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[Any]]]:
    """The address of a server that answers as Gemini does, and the requests that it got."""
    received: list[Any] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            part = {"content": {"role": "model", "parts": [{"text": "seen"}]}, "finishReason": "STOP"}
            body = json.dumps({"candidates": [part]}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    def fetched(*args: object, **_: object) -> Any:
        raise AssertionError(f"this machine fetched {args}")

    monkeypatch.setattr(requests, "get", fetched)
    monkeypatch.setattr(requests.Session, "request", fetched)
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()


OF_ADDRESSES = [
    ({"type": "image_url", "image_url": {"url": ADDRESS}}, "image/webp"),
    ({"type": "image_url", "image_url": ADDRESS}, "image/webp"),
    ({"type": "image", "url": ADDRESS.replace("https", "HTTPS")}, "image/webp"),
    ({"type": "image", "url": ADDRESS}, "image/webp"),
    ({"type": "image", "url": ADDRESS, "image_url": {"url": f"data:image/png;base64,{PNG}"}}, "image/webp"),
    ({"type": "image", "url": ADDRESS, "base64": PNG, "mime_type": "image/gif"}, "image/gif"),
    ({"type": "image", "source_type": "url", "url": "https://example.com/a"}, "image/jpeg"),
    ({"type": "image", "source": {"type": "url", "url": ADDRESS}}, "image/webp"),
    ({"type": "media", "file_uri": ADDRESS, "mime_type": "image/webp"}, "image/webp"),
    ({"type": "document", "source": {"type": "url", "url": ADDRESS}}, "application/pdf"),
    ({"type": "file", "url": ADDRESS, "mime_type": "application/pdf"}, "application/pdf"),
    ({"type": "audio", "url": ADDRESS, "mime_type": "audio/mpeg"}, "audio/mpeg"),
]


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")  # Google's
@pytest.mark.parametrize(("block", "mime"), OF_ADDRESSES)
def test_gemini_fetches_addresses_and_this_machine_does_not(
    gemini: tuple[str, list[Any]], block: dict[str, Any], mime: str
) -> None:
    address, received = gemini
    spec = Proposer("google_genai:gemini-x", base_url=address)
    graph = create_moa(Mixture(proposers=[spec], aggregator=spec, layers=1, max_attempts=1))
    graph.invoke({"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, block]}]})
    data = received[0]["contents"][-1]["parts"][-1]["fileData"]
    sent = data["file_uri"]
    assert data["mime_type"] == mime and sent == block.get("url", sent) and sent.lower() in (ADDRESS, ADDRESS[:21])


def test_addresses_in_tool_results_are_ids_for_gemini() -> None:
    call = {"name": "see", "args": {}, "id": "1"}
    history: list[BaseMessage] = [
        HumanMessage("look"),
        AIMessage("", tool_calls=[call]),
        ToolMessage([{"type": "image", "url": ADDRESS}, "words"], tool_call_id="1"),
    ]
    shown = passed_on(history, keep_tools=True, takes=Abilities(tool_results=True, by_id=True))
    words = {"type": "text", "text": "words"}
    assert shown[-1].content == [{"type": "file", "file_id": ADDRESS, "mime_type": "image/webp"}, words]


def test_the_package_of_google_alone_gets_ids() -> None:
    from langchain_google_genai import ChatGoogleGenerativeAI

    assert abilities(ChatGoogleGenerativeAI(model="gemini-x", api_key="none")).by_id
    assert not abilities(fake("x")).by_id
