"""`ServerGuard` with an app that counts requests: which ones reach a route, by header and kind of scope."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from moa_graph.serve.access import Policy
from moa_graph.serve.mounted import protected
from moa_graph.serve.server_guard import AllowedPages, ServerGuard

HERE = {"host": "127.0.0.1:2024"}
STUDIO = "https://smith.langchain.com"


async def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse("reached")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("reached")
    await websocket.close()


def client(policy: Policy | None = None, **options: Any) -> TestClient:
    app = Starlette(
        routes=[
            Route("/runs/wait", answer, methods=["POST", "GET", "DELETE", "OPTIONS"]),
            Route("/ok", answer),
            Route("/", answer),
            WebSocketRoute("/threads/1/stream/events", echo),
        ]
    )
    app.add_middleware(ServerGuard, policy=policy or Policy(), **options)
    return TestClient(app)


def status(
    headers: Any, method: str = "POST", path: str = "/runs/wait", body: str | None = "{}", **options: Any
) -> int:
    sent = [*(headers.items() if isinstance(headers, dict) else headers)]
    if body is not None and not any(name.lower() == "content-type" for name, _ in sent):
        sent.append(("content-type", "application/json"))
    # Header values as bytes, so that malformed ones get through.
    raw = [(name.encode(), value.encode("latin-1")) for name, value in sent]
    return client(**options).request(method, path, content=body, headers=raw).status_code


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:2024",
        "localhost.",
        "127.0.0.1:2024",
        "[::1]:2024",
        "a.localhost",
        "10.0.0.7",
        "[fe80::1]",
    ],
)
def test_own_names_and_addresses_pass(host):
    assert status({"host": host}) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:2024",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "notlocalhost",
        "evil.example.",
    ],
)
def test_foreign_names_are_refused_even_when_the_origin_is_the_same(host):
    assert status({"host": host}) == 403
    assert status({"host": host, "origin": f"http://{host}"}) == 403
    assert status({"host": host}, method="GET", body=None) == 403


@pytest.mark.parametrize("path", ["/ok", "/"])
def test_health_checks_have_no_host_rule_but_have_an_origin_rule(path):
    assert status({"host": "probe.cluster"}, "GET", path, None) == 200
    assert status({"host": "probe.cluster"}, "HEAD", path, None) == 200
    assert status({**HERE, "origin": "https://evil.example"}, "GET", path, None) == 403


@pytest.mark.parametrize(
    ("hosts", "host", "expected"),
    [
        ("api.internal", "api.internal", 200),
        ("API.internal:8000", "api.INTERNAL:9", 200),
        ("api.internal", "x.api.internal", 403),
        ("*.trycloudflare.com", "some-words.trycloudflare.com", 200),
        ("*.trycloudflare.com", "trycloudflare.com", 403),
        ("*.trycloudflare.com", "trycloudflare.com.evil.example", 403),
        ("*", "anything.example", 200),
        ("a, b", "b", 200),
    ],
)
def test_the_owner_names_further_hosts(hosts, host, expected):
    policy = Policy.from_environment({"MOA_SERVE_HOSTS": hosts}.get)
    assert status({"host": host}, policy=policy) == expected


@pytest.mark.parametrize(
    "headers",
    [
        [("host", "[")],
        [("host", "")],
        [("host", "[::1")],
        [("host", "[gg]")],
        [("host", "[1.2]")],
        [("host", "a b")],
        [("host", "user@localhost")],
        [("host", "localhost/x")],
        [("host", "localhost:port")],
        [("host", "localhost:1:2")],
        [("host", "localhost\\@evil.example")],
        [("host", "lo\xe7alhost")],
        [("host", "localhost"), ("host", "localhost")],
        [("host", "localhost"), ("origin", "http://[")],
        [("host", "localhost"), ("origin", "")],
        [("host", "localhost"), ("origin", "localhost")],
        [("host", "localhost"), ("origin", "http://a http://b")],
        [("host", "localhost"), ("origin", "https://evil.example/.smith.langchain.com")],
        [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://localhost")],
    ],
)
def test_malformed_headers_are_a_400(headers):
    assert status(headers) == 400


FOREIGN = [
    "https://evil.example",
    "null",
    "http://127.0.0.2:2024",
    "https://smith.langchain.com.evil.example",
    "https://evilsmith.langchain.com",
    "http://smith.langchain.com",
    "chrome-extension://abcdef",
    "http://localhost.evil.example",
]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE", "OPTIONS"])
def test_pages_of_other_sites_are_refused(origin, method):
    assert status({**HERE, "origin": origin}, method, body=None) == 403
    assert status({**HERE, "origin": origin, "content-type": "text/plain"}) == 403


@pytest.mark.parametrize(
    "origin",
    [STUDIO, "https://eu.smith.langchain.com", "http://localhost:3000", "http://127.0.0.1:2024", "HTTP://LocalHost:1"],
)
def test_studio_and_pages_of_this_machine_pass(origin):
    assert status({**HERE, "origin": origin}) == 200


@pytest.mark.parametrize(
    ("cors", "origin", "expected"),
    [
        (None, STUDIO, 200),
        (None, "https://evil.example", 403),
        ({"allow_origins": ["https://mine.example"]}, "https://mine.example", 200),
        ({"allow_origins": ["https://mine.example"]}, "http://localhost:3000", 403),
        ({"allow_origin_regex": r"https://.*\.mine\.example"}, "https://a.mine.example", 200),
        ({"allow_origin_regex": r"https://.*\.mine\.example"}, "https://a.mine.example.evil.example", 403),
        ({"allow_origins": ["*"]}, "https://any.example", 200),
        ({}, STUDIO, 403),
    ],
)
def test_the_servers_own_cors_settings_count(cors, origin, expected):
    assert status({**HERE, "origin": origin}, pages=AllowedPages.of_server(cors)) == expected


def test_origins_of_the_owner_count():
    policy = Policy.from_environment({"MOA_SERVE_ORIGINS": "https://Friend.example/"}.get)
    assert status({**HERE, "origin": "https://friend.example"}, policy=policy) == 200


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("text/plain", 415),
        ("text/plain; charset=application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
        ("application/json, text/plain", 415),
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/merge-patch+json", 200),
    ],
)
def test_a_post_must_say_that_it_is_json(kind, expected):
    assert status({**HERE, "content-type": kind}) == expected


def test_a_post_without_a_body_passes():
    assert client().post("/runs/wait", headers=HERE).status_code == 200


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (HERE, None),
        ({**HERE, "origin": STUDIO}, None),
        ({**HERE, "origin": "https://evil.example"}, 403),
        ({"host": "evil.example", "origin": "http://evil.example"}, 403),
        ({"host": "["}, 400),
    ],
)
def test_web_sockets_are_checked_too(headers, expected):
    with client() as http:
        if expected is None:
            with http.websocket_connect("/threads/1/stream/events", headers=headers) as socket:
                assert socket.receive_text() == "reached"
        else:
            with (
                pytest.raises(WebSocketDisconnect),
                http.websocket_connect("/threads/1/stream/events", headers=headers),
            ):
                pass


async def count(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


def pieces(size: int) -> Iterator[bytes]:
    """A body without a Content-Length."""
    for _ in range(size // 1000):
        yield b"x" * 1000


@pytest.mark.parametrize(("size", "expected"), [(100_000, 200), (101_000, 413), (5_000_000, 413)])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(size, expected, chunked):
    app = Starlette(routes=[Route("/runs/wait", count, methods=["POST"])])
    app.add_middleware(ServerGuard, policy=Policy(max_bytes=100_000))
    body: Any = pieces(size) if chunked else b"x" * size
    answer = TestClient(app).post("/runs/wait", content=body, headers={**HERE, "content-type": "application/json"})
    assert answer.status_code == expected
    if expected == 200:
        assert answer.text == str(size)
    else:
        assert answer.json()["code"] == "request_too_large"


def test_routes_that_bound_their_bodies_themselves_are_left_alone():
    route = Route("/v1/chat/completions", count, methods=["POST"])
    app = Starlette(routes=[route])
    app.add_middleware(ServerGuard, policy=Policy(max_bytes=10), own=[route])
    assert TestClient(app).post("/v1/chat/completions", content=b"x" * 50, headers=HERE).text == "50"


def test_only_the_servers_own_client_skips_the_rules():
    foreign = {"host": "evil.example", "content-type": "text/plain"}
    inner = Starlette(routes=[Route("/runs/wait", answer, methods=["POST"])])
    inner.add_middleware(ServerGuard, policy=Policy())
    for root, expected in (("/noauth", 200), ("/noauthority", 403), ("", 403)):
        sent = TestClient(inner, root_path=root).post("/runs/wait", content="{}", headers=foreign)
        assert sent.status_code == expected, root
    # A path that a request chooses is not a root path, and a mount appends to the server's.
    outside = Starlette(routes=[Mount("/prefix", app=inner)])
    assert TestClient(outside).post("/prefix/runs/wait", content="{}", headers=foreign).status_code == 403
    assert TestClient(inner).post("/noauth/runs/wait", content="{}", headers=foreign).status_code == 403
    within = TestClient(outside, root_path="/noauth")
    assert within.post("/noauth/prefix/runs/wait", content="{}", headers=foreign).status_code == 200


def test_an_auth_of_the_servers_own_decides_alone(monkeypatch):
    import sys
    from types import SimpleNamespace

    app = Starlette(routes=[Route("/x", answer)])
    for settings, guarded in (
        ({"LANGGRAPH_AUTH": None, "LANGGRAPH_AUTH_TYPE": "noop"}, True),
        ({"LANGGRAPH_AUTH": {"path": "auth.py:auth"}, "LANGGRAPH_AUTH_TYPE": "noop"}, False),
        ({"LANGGRAPH_AUTH": None, "LANGGRAPH_AUTH_TYPE": "langsmith"}, False),
    ):
        app.user_middleware.clear()
        monkeypatch.setitem(sys.modules, "langgraph_api.config", SimpleNamespace(**settings))
        assert bool(protected(app, Policy()).user_middleware) is guarded
