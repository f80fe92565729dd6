"""Slow, idle and greedy clients of `moa serve` do not keep others from answers."""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from moa_graph.serve import bodies
from moa_graph.serve.app import create_app
from moa_graph.serve.catalogue import Catalogue
from moa_graph.serve.connections import limited_protocol
from tests.provider import Provider
from tests.serving import Served, mixture

pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def served(provider_server: Provider) -> Iterator[Served]:
    with Served({"good": mixture(provider_server, "one-tok=4", aggregator="agg-tok=4")}) as server:
        yield server


def post(server: Any, body: bytes, path: str = "/v1/chat/completions") -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    found = response.status, json.loads(response.read())
    connection.close()
    return found


def slowest(server: Any, stop: threading.Event) -> float:
    worst = 0.0
    while not stop.is_set():
        start = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", "/v1/models")
        connection.getresponse().read()
        connection.close()
        worst = max(worst, time.monotonic() - start)
        time.sleep(0.02)
    return worst


LONG = 3.0
"""Seconds that no small request may take."""

USER = b'{"role":"user","content":"x"}'
GREEDY = {
    "messages": (b'{"model":"good","messages":[' + USER + (b"," + USER) * 6_200 + b"]}", 413, "too_many_messages"),
    "a body of messages": (
        b'{"model":"good","messages":[' + USER + (b"," + USER) * 620_000 + b"]}", 413, "too_many_values",
    ),
    "empty lists": (b'{"model":"good","messages":[' + b"[]," * 6_000_000 + b"[]]}", 413, "too_many_values"),
    "blocks": (
        b'{"model":"good","messages":[{"role":"user","content":[' + b'{"type":"text","text":"x"},' * 600_000
        + b'{"type":"text","text":"x"}]}]}', 413, "too_many_values",
    ),
    "tools": (
        b'{"model":"good","messages":[' + USER + b'],"tools":[' + b"{}," * 200_000 + b"{}]}", 413, "too_many_values",
    ),
    "depth": (b'{"model":"good","messages":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}", 413, "too_many_values"),
    "depth within the limits": (
        b'{"model":"good","messages":' + b"[" * 40_000 + b"]" * 40_000 + b"}", 400, "invalid_json",
    ),
    "plain values": (
        b'{"model":"good","messages":[' + USER + b'],"stop":[' + b"1," * 5_000_000 + b"1]}", 413, "too_many_values",
    ),
    "names": (
        b'{"model":"good","messages":[' + USER + b'],"metadata":{' + b",".join(b'"%d":1' % n for n in range(300_000))
        + b"}}", 413, "too_many_values",
    ),
    # In UTF-16, the bytes of this character are a bracket and a quote.
    "lists behind a character of UTF-16": (
        ('{"x":"\u225b","messages":[' + "[]," * 3_000_000 + "[]]}").encode("utf-16-le"), 400, "invalid_json",
    ),
    "escaped quotes": (b'{"model":"good","messages":"' + b'\\"[{' * 4_000_000, 400, "invalid_json"),
}  # fmt: skip


@pytest.mark.parametrize("name", GREEDY)
def test_a_greedy_body_is_refused_and_others_are_answered_meanwhile(
    served: Served, provider: Provider, name: str
) -> None:
    body, status, code = GREEDY[name]
    worst: list[float] = []
    # The least of up to three attempts: a busy machine only makes a request longer.
    while len(worst) < 3 and min(worst, default=LONG) >= LONG:
        stop = threading.Event()
        watcher = threading.Thread(target=lambda stop=stop: worst.append(slowest(served, stop)))
        watcher.start()
        found = post(served, body)
        stop.set()
        watcher.join()
        assert (found[0], found[1]["error"]["code"]) == (status, code)
    assert min(worst) < LONG, "15 s before bodies were bounded"
    assert provider.stats()["requests"] == 0


def test_brackets_in_a_text_are_no_values(served: Served) -> None:
    """Source code in a question holds any number of them."""
    content = 'x = {"a": [1, 2]}\\\n' * 100_000
    body = json.dumps({"model": "good", "messages": [{"role": "user", "content": content}]}).encode()
    assert body.count(b"[") + body.count(b"{") > bodies.MAX_VALUES
    assert post(served, body)[0] == 200


def test_commas_in_a_text_are_no_values(served: Served) -> None:
    body = json.dumps({"model": "good", "messages": [{"role": "user", "content": "1," * 300_000}]}).encode()
    assert body.count(b",") > bodies.MAX_PLAIN and post(served, body)[0] == 200


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "x" * 4_500}] * 4_000,
        [{"role": "user", "content": "x" * 4_500, "name": f"n{n % 2}"} for n in range(4_000)],
        [*[{"role": "assistant", "content": "x" * 4_500}] * 4_000, {"role": "user", "content": "x"}],
        [{"role": "user", "content": [{"type": "text", "text": "x"}] * 4}] * 2_000,
    ],
    ids=["of a user", "of users with names", "of an assistant", "in blocks"],
)
def test_many_neighbours_of_one_role_hold_up_nobody(served: Served, messages: list[dict[str, Any]]) -> None:
    """Joined one by one they took five seconds; LangChain took 0.3 ms for the type of each block, in every call."""
    body = json.dumps({"model": "good", "messages": messages}).encode()
    worst: list[float] = []
    while len(worst) < 3 and min(worst, default=LONG) >= LONG:
        stop = threading.Event()
        watcher = threading.Thread(target=lambda stop=stop: worst.append(slowest(served, stop)))
        watcher.start()
        assert post(served, body)[0] == 200
        stop.set()
        watcher.join()
    assert min(worst) < LONG


def test_as_many_messages_as_are_accepted_pass(served: Served) -> None:
    messages = [{"role": "user", "content": "x"}] * bodies.MAX_MESSAGES
    assert post(served, json.dumps({"model": "good", "messages": messages}).encode())[0] == 200


@pytest.mark.parametrize("size", [20_000_100, 21_000_000, 60_000_000])
def test_the_refusal_of_a_large_body_can_be_read(served: Served, size: int) -> None:
    status, answer = post(served, b'{"a":"' + b"x" * size + b'"}')
    assert status == 413 and answer["error"]["code"] == "request_too_large"


def test_a_body_that_never_ends_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.5)
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as client:
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
        assert client.recv(65_536).startswith(b"HTTP/1.1 408")


def with_limits(provider: Provider, **limits: Any) -> Served:
    """A server whose limits can be reached in a test."""
    server = Served({"good": mixture(provider, "one-tok=4", aggregator="agg-tok=4")})
    app = create_app(Catalogue({"good": mixture(provider, "one-2000ms", aggregator="agg-tok=4")}))
    protocol = limited_protocol(**limits)
    server._server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", http=protocol))
    server._thread = threading.Thread(target=server._server.run, daemon=True)
    return server


@pytest.fixture
def limited(provider_server: Provider) -> Iterator[Served]:
    """A server that waits a second for a request."""
    with with_limits(provider_server, header_seconds=1.0) as server:
        yield server


@pytest.fixture
def crowded(provider_server: Provider) -> Iterator[Served]:
    """A server that keeps 20 idle connections, and closes none because of its age."""
    with with_limits(
        provider_server, header_seconds=600.0, body_seconds=600.0, read_seconds=600.0, max_idle=20
    ) as server:
        yield server


def narrow(port: int) -> socket.socket:
    """A connection that holds little itself: what the server does not read stops the sender."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    client.settimeout(20)
    client.connect(("127.0.0.1", port))
    return client


@pytest.mark.parametrize("more", [b"x", b"\r\nx: y"], ids=["one header", "many headers"])
@pytest.mark.parametrize("before", ["", "an answered request", "a running request"])
def test_headers_without_end_are_refused(crowded: Served, more: bytes, before: str) -> None:
    """They took 9 times their size in memory, and a second of every other request's time."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    body = json.dumps({"model": "good", "messages": [{"role": "user", "content": "x" * 300_000}]}).encode()
    with narrow(crowded.port) as client:
        if before:
            client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        if before == "an answered request":
            assert client.recv(65_536).startswith(b"HTTP/1.1 200")
            time.sleep(0.2)  # until the whole answer is here
        sent = 0
        received = b""
        with contextlib.suppress(ConnectionError):
            client.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX: y")
            for _ in range(200):
                client.sendall(more * (10_000 // len(more)))
                sent += 10_000
        with contextlib.suppress(ConnectionError):
            while piece := client.recv(65_536):
                received += piece
    assert sent < 1_000_000
    assert before == "a running request" or b" 431 " in received or not received


@pytest.mark.parametrize("more", [b"a:\r\n", b"x", b"a: b\r\nc: d\r\n"], ids=["empty ones", "one", "many"])
def test_headers_after_a_body_without_end_are_refused(crowded: Served, more: bytes) -> None:
    """They took 25 times their size in memory, of clients without a key too."""
    sent = 0
    with narrow(crowded.port) as client:
        client.sendall(CHUNKED + b"2\r\n{}\r\n0\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                client.sendall(more * (10_000 // len(more)))
                sent += 10_000
    assert sent < 1_000_000


CHUNKED = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


@pytest.mark.parametrize("whole", [True, False])
def test_headers_after_a_body_pass_and_mean_nothing(crowded: Served, whole: bool) -> None:
    """A proxy in front may check the headers and leave these alone."""
    content = "x" * (9 if whole else 200_000)
    body = json.dumps({"model": "good", "messages": [{"role": "user", "content": content}]}).encode()
    chunks = [body[start : start + 60_000] for start in range(0, len(body), 60_000)]
    parts = [piece for chunk in chunks for piece in (b"%x\r\n" % len(chunk), chunk, b"\r\n")]
    parts = [CHUNKED, *parts, b"0\r\nx-request-id: forged\r\n", b"host: evil.example\r\n\r\n"]
    with socket.create_connection(("127.0.0.1", crowded.port), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in [b"".join(parts)] if whole else parts:
            client.sendall(part)
            time.sleep(0.01)  # until the server has read this part alone
        answer = client.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 200 OK") and b"forged" not in answer, answer


@pytest.mark.parametrize("offer", ["h2c", "H2C", "TLS/1.3, h2c", "HTTP/2.0", "foo"])
def test_a_request_that_offers_http_2_is_answered(crowded: Served, offer: str) -> None:
    body = b'{"model":"good","messages":[' + USER + b"]}"
    connection = http.client.HTTPConnection("127.0.0.1", crowded.port, timeout=60)
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": offer, "HTTP2-Settings": "AAEAAEAAAAIAAAAA"}
    for _ in range(2):
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
    connection.close()


def test_an_offer_of_another_protocol_may_arrive_in_parts(crowded: Served) -> None:
    body = b'{"model":"good","messages":[' + USER + b"]}"
    lines = [
        b"POST /v1/chat/completions HTTP/1.1", b"Host: 127.0.0.1", b"Content-Type: application/json",
        b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: %d" % len(body), b"", body,
    ]  # fmt: skip
    request = b"\r\n".join(lines)
    start = request.index(b"\r\nUpgrade")
    whole = [[request[:cut], request[cut:]] for cut in range(start, start + 18)]
    for parts in [*whole, [bytes([each]) for each in request]]:
        with socket.create_connection(("127.0.0.1", crowded.port)) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for part in parts:
                client.sendall(part)
                # Until the server has read this part alone: several hundred single bytes get less time each.
                time.sleep(0.02 if len(parts) == 2 else 0.001)
            assert client.recv(15) == b"HTTP/1.1 200 OK", parts


def test_long_headers_pass(crowded: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", crowded.port, timeout=60)
    for _ in range(3):  # also on one connection, whose bodies do not count
        body = json.dumps({"model": "good", "messages": [{"role": "user", "content": "x" * 200_000}]})
        connection.request(
            "POST", "/v1/chat/completions", body, {"Content-Type": "application/json", "X": "y" * 50_000}
        )
        response = connection.getresponse()
        assert response.status == 200 and response.read()
    connection.close()


@pytest.fixture
def impatient(provider_server: Provider) -> Iterator[Served]:
    """A server that waits a second for anything of its clients."""
    with with_limits(provider_server, header_seconds=1.0, body_seconds=1.0, read_seconds=1.0) as server:
        yield server


def closed(client: socket.socket, seconds: float = 30.0) -> bool:
    client.settimeout(seconds)
    try:
        return client.recv(65_536) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


POST = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
HALF = {
    "headers": b"GET /v1/models HTTP/1.1\r\n",
    "body": POST % b"/v1/chat/completions" + b"Content-Length: 1000\r\n\r\n{",
    "chunked body": POST % b"/v1/messages" + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    "expected body": POST % b"/moa/run" + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n",
    "body of a tool call": POST % b"/mcp"
    + b"Accept: application/json, text/event-stream\r\nContent-Length: 1000\r\n\r\n{",
    "body of a GET": b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
    "refused body": b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
    "unread pages": b"GET /moa HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100,
}
"""What a client sends that then does nothing more."""


def half(server: Any, sent: bytes) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.connect(("127.0.0.1", server.port))
    client.sendall(sent)
    return client


@pytest.mark.parametrize("name", HALF)
def test_clients_that_do_nothing_more_do_not_lock_others_out(crowded: Served, name: str) -> None:
    """The server closes the connections that have waited the longest; before, each kept a descriptor for a minute."""
    clients = [half(crowded, HALF[name]) for _ in range(60)]
    gone = 0
    deadline = time.monotonic() + 30
    while gone < 40 and time.monotonic() < deadline:
        time.sleep(0.2)
        gone = 60 - len(crowded._server.server_state.connections)
    assert gone >= 40
    assert post(crowded, b'{"model":"none"}')[0] in (400, 404, 422)
    for each in clients:
        each.close()


@pytest.mark.parametrize("name", ["body", "chunked body", "body of a tool call", "body of a GET", "unread pages"])
def test_what_a_client_owes_has_a_time_limit(impatient: Served, name: str) -> None:
    with half(impatient, HALF[name]):
        deadline = time.monotonic() + 30
        while not impatient._server.server_state.connections and time.monotonic() < deadline:
            time.sleep(0.01)
        while impatient._server.server_state.connections and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not impatient._server.server_state.connections


def test_an_answer_that_is_read_slowly_arrives(impatient: Served) -> None:
    with half(impatient, b"GET /moa HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") as client:
        received = b""
        while part := client.recv(65_536):
            received += part
            time.sleep(0.02)
    assert received.rstrip().endswith(b"</html>")


@pytest.mark.parametrize("sent", [b"", b"GET /v1/models HT", b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_a_request_that_is_not_sent_whole_is_given_up(limited: Served, sent: bytes) -> None:
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", limited.port)) as client:
        client.sendall(sent)
        assert closed(client) and time.monotonic() - start > 0.9


def test_a_client_that_sends_a_byte_now_and_then_is_given_up_too(limited: Served) -> None:
    with socket.create_connection(("127.0.0.1", limited.port)) as client, pytest.raises(ConnectionError):
        for _ in range(150):  # half a minute
            client.sendall(b"G")
            time.sleep(0.2)


def test_idle_clients_do_not_lock_others_out_and_a_run_under_way_stays(crowded: Served, provider: Provider) -> None:
    answers: list[int] = []
    body = json.dumps({"model": "good", "messages": [{"role": "user", "content": "x"}]}).encode()
    run = threading.Thread(target=lambda: answers.append(post(crowded, body)[0]))
    run.start()
    assert provider.wait(lambda stats: stats["in_flight"] == 1)["in_flight"] == 1
    idle = [socket.create_connection(("127.0.0.1", crowded.port)) for _ in range(100)]
    connection = http.client.HTTPConnection("127.0.0.1", crowded.port, timeout=60)
    connection.request("GET", "/v1/models")
    assert connection.getresponse().status == 200
    connection.close()
    assert closed(idle[0]) and not closed(idle[-1], 0.2)
    run.join()
    assert answers == [200]
    for each in idle:
        each.close()


def test_the_command_has_the_limits(provider: Provider, tmp_path: Path) -> None:
    """1,100 half-open requests at 1,024 descriptors: other clients could not connect before."""
    spec = {"model": "openai:tok=4", "base_url": provider.url}
    (tmp_path / "m.yaml").write_text(json.dumps({"proposers": [spec], "aggregator": spec}))
    start = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400)); "
    start += "from moa_graph.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", start, "serve", "--file", "m.yaml", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env={**os.environ})
    try:
        assert process.stderr is not None
        port = next(int(m[1]) for line in process.stderr if (m := re.search(r"127\.0\.0\.1:(\d+)/moa", line)))
        halves = []
        for _ in range(500):
            half = socket.create_connection(("127.0.0.1", port))
            half.sendall(b"GET /v1/models HTTP/1.1\r\n")
            halves.append(half)
        time.sleep(0.5)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/v1/models")
        assert connection.getresponse().status == 200
        connection.close()
        for half in halves:
            half.close()
    finally:
        process.terminate()
        process.communicate(timeout=60)
