"""A real browser and a real `langgraph dev`: foreign pages and rebound host names cannot start runs or read answers."""

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import FLAGS
from tests.langgraph_dev import ANSWER, LangGraphDev
from tests.provider import Provider

RUN = {"assistant_id": "moa", "input": {"messages": [{"role": "user", "content": "spend my money"}]}}
ATTACK = """async ([url, options]) => {
    try {
        const response = await fetch(url, options);
        return {type: response.type, status: response.status, text: await response.text()};
    } catch (error) { return {type: "error", status: 0, text: String(error)}; }
}"""
FORM = """([url, kind, body]) => {
    const form = document.createElement("form");
    Object.assign(form, {method: "POST", action: url, enctype: kind, target: "sink"});
    const field = document.createElement("textarea");
    Object.assign(field, {name: body.slice(0, -2), value: body.slice(-2)});
    const sink = document.createElement("iframe");
    sink.name = "sink";
    document.body.append(sink, form);
    form.append(field);
    const loaded = new Promise(done => { sink.onload = done; });
    form.submit();
    return loaded.then(() => "sent");
}"""
SOCKET = """url => new Promise(done => {
    const socket = new WebSocket(url);
    socket.onopen = () => done("open");
    socket.onerror = () => done("refused");
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium that resolves evil.example to this machine, as after DNS rebinding."""
    path = shutil.which("chromium") or shutil.which("chromium-headless-shell")
    if path is None:
        pytest.skip("no Chromium on the path: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        rebound = "--host-resolver-rules=MAP evil.example 127.0.0.1"
        # Chromium's own rule about public pages and local addresses is not tested here.
        own_rules = "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests"
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS.split(), rebound, own_rules])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a web server of another origin."""
    folder = tmp_path_factory.mktemp("evil")
    (folder / "index.html").write_text("<!doctype html><title>a harmless page</title><body>")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(Path(folder))))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    context.close()


def post(kind: str, **options: Any) -> dict[str, Any]:
    return {"method": "POST", "headers": {"Content-Type": kind}, "body": json.dumps(RUN), **options}


def spent(provider: Provider) -> int:
    """Requests at the provider once a run in the background would have begun."""
    requests: int = provider.wait(lambda stats: stats["requests"] > 0, 1.5)["requests"]
    return requests


@pytest.mark.parametrize(
    "path", ["/runs/wait", "/runs", "/runs/stream", "/a2a/moa", "/v1/chat/completions", "/moa/run"]
)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
def test_a_page_of_another_site_cannot_start_a_run(
    page: Any, evil: int, langgraph_dev: LangGraphDev, provider: Provider, path: str, kind: str
) -> None:
    # Pages of this machine have an allowed origin; this page does not, like any site of the internet.
    page.goto(f"http://evil.example:{evil}/")
    sent = page.evaluate(ATTACK, [f"{langgraph_dev.url}{path}", post(kind, mode="no-cors")])
    assert sent["type"] == "opaque", "the request must have reached the server"
    assert page.evaluate(ATTACK, [f"{langgraph_dev.url}{path}", post("application/json")])["type"] == "error"
    assert spent(provider) == 0


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_of_another_site_cannot_start_a_run(
    page: Any, evil: int, langgraph_dev: LangGraphDev, provider: Provider, kind: str
) -> None:
    page.goto(f"http://evil.example:{evil}/")
    body = json.dumps(RUN)[:-1] + ', "x": "="}'
    assert page.evaluate(FORM, [f"{langgraph_dev.url}/runs/wait", kind, body]) == "sent"
    assert spent(provider) == 0


def test_a_page_of_another_site_opens_no_web_socket(page: Any, evil: int, langgraph_dev: LangGraphDev) -> None:
    page.goto(f"http://evil.example:{evil}/")
    thread = "11111111-1111-4111-8111-111111111111"
    address = f"ws://127.0.0.1:{langgraph_dev.port}/threads/{thread}/stream/events"
    assert page.evaluate(SOCKET, address) == "refused"
    page.goto(f"{langgraph_dev.url}/ok")
    assert page.evaluate(SOCKET, address) == "open", "the server's own page may"


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/runs/wait"), ("POST", "/threads/search"), ("GET", "/info"), ("GET", "/docs"), ("GET", "/v1/models")],
)
def test_a_rebound_name_reads_nothing(
    page: Any, langgraph_dev: LangGraphDev, provider: Provider, method: str, path: str
) -> None:
    # The page was loaded from another server. To the browser, this server now has the same origin as the page.
    page.goto(f"http://evil.example:{langgraph_dev.port}/ok")
    options = post("application/json") if method == "POST" else {}
    sent = page.evaluate(ATTACK, [path, options])
    assert sent["type"] == "basic" and sent["status"] == 403, "the browser must have taken it for the same origin"
    assert ANSWER not in sent["text"] and provider.stats()["requests"] == 0


def test_the_servers_own_page_may(page: Any, langgraph_dev: LangGraphDev, provider: Provider) -> None:
    page.goto(f"{langgraph_dev.url}/ok")
    sent = page.evaluate(ATTACK, ["/runs/wait", post("application/json")])
    assert sent["status"] == 200 and ANSWER in sent["text"] and provider.stats()["requests"] == 4
