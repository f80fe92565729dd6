"""Access control: the key, the host name, the page's origin."""

import base64
import http.client
import json
import socket

import pytest

from moa_graph.serve.access import Policy
from tests.serving import Served, mixture

BODY = json.dumps({"model": "good", "messages": [{"role": "user", "content": "hi"}]})
RUN = json.dumps({"mixture": "good", "messages": [{"role": "user", "content": "hi"}]})


def status(server, method="GET", path="/v1/models", body=None, **headers):
    """The status and the headers of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Content-Type": "application/json", **sent})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, dict(response.getheaders())


@pytest.fixture(scope="module")
def locked(provider_server):
    good = {"good": mixture(provider_server, "one", aggregator="agg")}
    with Served(good, Policy(key="sésame", origins=frozenset({"https://friend.example"}))) as server:
        yield server


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/good", "/moa", "/moa/mixtures"])
def test_without_the_key_nothing_is_shown(locked, path):
    for header in ("", "Bearer", "Bearer wrong", "Bearer sésam", "Basic !!", "Digest sésame"):
        got, headers = status(locked, path=path, Authorization=header.encode())
        assert got == 401
        assert headers["www-authenticate"].startswith("Basic" if path.startswith("/moa") else "Bearer")


def test_the_key_opens_as_bearer_and_in_the_browsers_own_dialog(locked):
    assert status(locked, Authorization="Bearer sésame".encode())[0] == 200
    assert status(locked, **{"x-api-key": "sésame".encode()})[0] == 200
    assert status(locked, **{"x-api-key": b"wrong"})[0] == 401
    basic = "Basic " + base64.b64encode("anyone:sésame".encode()).decode()
    assert status(locked, path="/moa", Authorization=basic)[0] == 200


@pytest.mark.parametrize("beside", ["Bearer sk-ant-of-the-environment", "Basic cHJveHk6c2VjcmV0", "Bearer ", ""])
def test_a_key_counts_beside_one_for_another_server(locked, beside):
    assert status(locked, Authorization=beside, **{"x-api-key": "sésame".encode()})[0] == 200
    assert status(locked, Authorization="Bearer sésame".encode(), **{"x-api-key": beside})[0] == 200
    assert status(locked, Authorization=beside, **{"x-api-key": "wrong"})[0] == 401


@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", BODY), ("/moa/run", RUN)])
def test_a_foreign_web_page_cannot_ask(served, provider, path, body):
    own = f"http://127.0.0.1:{served.port}"
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", f"http://localhost:{served.port}"):
        assert status(served, "POST", path, body, Origin=origin)[0] == 403
    # A name that its owner points at this machine: same-origin to the browser, and not to us.
    rebound = {"Host": f"evil.example:{served.port}", "Origin": f"http://evil.example:{served.port}"}
    assert status(served, "POST", path, body, **rebound)[0] == 403
    # What a form can send without asking first.
    assert status(served, "POST", path, body, Content_Type="text/plain", Origin=own)[0] == 415
    assert provider.stats()["requests"] == 0
    assert status(served, "POST", path, body, Origin=own)[0] == 200


def test_a_page_named_by_the_owner_may_ask(locked):
    friend = {"Origin": "https://friend.example", "Authorization": "Bearer sésame".encode()}
    got, headers = status(locked, "OPTIONS", "/v1/chat/completions", **friend)
    assert got == 204 and headers["access-control-allow-origin"] == "https://friend.example"
    got, headers = status(locked, "POST", "/v1/chat/completions", BODY, **friend)
    assert got == 200 and headers["access-control-allow-origin"] == "https://friend.example"
    # A browser sends no key with a preflight, so the key is not what is missing.
    assert status(locked, "OPTIONS", "/v1/chat/completions", Origin="https://evil.example")[0] == 403
    # Without the header the page would see a network error in place of the reason.
    got, headers = status(locked, "POST", "/v1/chat/completions", BODY, Origin="https://friend.example")
    assert got == 401 and headers["access-control-allow-origin"] == "https://friend.example"
    # An MCP client ends its session so.
    got, headers = status(locked, "OPTIONS", "/mcp", **friend)
    assert got == 204 and "DELETE" in headers["access-control-allow-methods"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"])
def test_options_asks_no_model(served, provider, path):
    body = json.dumps({**json.loads(BODY), "max_tokens": 9, "prompt": "hi", "input": "hi"})
    assert status(served, "OPTIONS", path, body)[0] == 405
    assert provider.stats()["requests"] == 0


def test_the_policy_does_not_show_its_key():
    assert "secret" not in repr(Policy(key="secret"))


@pytest.mark.parametrize("path", ["/v1/models", "/moa", "/mcp", "/v1/nothing"])
@pytest.mark.parametrize(
    "lines", ["Host: [", "Host: a b", "Host: localhost\r\nOrigin: http://[", "Host: localhost\r\nOrigin: nonsense"]
)
def test_a_malformed_host_or_origin_is_a_400_with_an_error_of_openais_shape(served, locked, path, lines):
    for server in (served, locked):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\nConnection: close\r\n\r\n".encode())
            head, _, body = b"".join(iter(lambda: connection.recv(65_536), b"")).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400")
        assert json.loads(body)["error"]["code"] in ("malformed_host", "malformed_origin")
