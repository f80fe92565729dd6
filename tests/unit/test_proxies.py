"""Proxies and certificates of the environment: a wrong one is named, NO_PROXY has ports and networks."""

import asyncio
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from moa_graph.errors import ConfigError, MoAError
from moa_graph.graph.remote import RemoteMoA
from moa_graph.mixture.proposer import Proposer
from moa_graph.models import registry
from moa_graph.models.http.certificates import certificates
from moa_graph.models.http.proxies import proxy_for
from moa_graph.models.live_models import live_models

URL = "http://10.1.2.3:8000/v1"


MODELS = ("openai:m", "anthropic:m", "google_genai:m")
"""One for each client: this package's, and those of providers' packages."""


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("given", ["127.0.0.1:18099", "http://127.0.0.1:18099", "proxy.example:3128"])
def test_an_address_without_a_scheme_is_an_http_proxy(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", given)
    assert proxy_for(URL) == (given if "://" in given else f"http://{given}")
    assert proxy_for("https://api.example/v1") is None


@pytest.mark.parametrize(
    "given",
    ["garbage://x", "ftp://127.0.0.1:1", "http://", "://x", "http://[::1", "http://a:port", "http://a:99999"],
)
async def test_an_invalid_proxy_is_refused_by_the_variables_name(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", given)
    with pytest.raises(ConfigError, match=r"^HTTP_PROXY or ALL_PROXY is not the address .* Correct the variable"):
        registry.chat_model(Proposer(model="openai:m", base_url=URL))
    with pytest.raises(LookupError, match="Correct the variable"):
        await live_models(Proposer(model="openai:m", base_url=URL), seconds=1)


@pytest.mark.parametrize("rule", ["10.1.2.3:8000", "10.1.2.3", "10.0.0.0/8", "a.example, 10.1.0.0/16", "*"])
def test_exceptions_are_kept_so_that_the_key_does_not_go_to_the_proxy(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:18099")
    monkeypatch.setenv("NO_PROXY", rule)
    assert proxy_for(URL) is None


@pytest.mark.parametrize("rule", ["10.1.2.3:9000", "10.2.0.0/16", "10.1.2.30", "not/a/network", ""])
def test_other_exceptions_are_not(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:18099")
    monkeypatch.setenv("NO_PROXY", rule)
    assert proxy_for(URL) == "http://127.0.0.1:18099"


def model(name: str) -> Proposer:
    if not name.startswith("openai:"):
        pytest.importorskip("langchain_anthropic")
        pytest.importorskip("langchain_google_genai")
    return Proposer(model=name)


@pytest.mark.parametrize("name", MODELS)
async def test_an_invalid_proxy_is_refused_before_a_providers_package_reads_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "garbage://u:secret-password@x")
    with pytest.raises(ConfigError, match=r"^HTTPS_PROXY or ALL_PROXY is not the address") as caught:
        registry.chat_model(model(name))
    assert "secret-password" not in str(caught.value)


@pytest.mark.parametrize("name", MODELS)
async def test_a_socks_proxy_without_its_package_is_refused_with_the_way_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"^HTTPS_PROXY or ALL_PROXY is a SOCKS .* Run: pip install socksio$"):
        registry.chat_model(model(name))


async def test_a_package_reads_the_socks_proxy_of_other_hosts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"^A variable for proxies is a SOCKS proxy, .* Run: pip install socksio$"):
        registry.chat_model(model("anthropic:m"))
    registry.chat_model(model("openai:m"))


def test_a_socks_proxy_with_its_package_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("socksio")
    package.__spec__ = ModuleSpec("socksio", None)
    monkeypatch.setitem(sys.modules, "socksio", package)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    assert proxy_for(URL) == "socks5://127.0.0.1:9"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["missing", "no certificate", "folder"])
async def test_certificates_that_cannot_be_read_are_named(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Conda sets the variable to a file that it does not install."""
    file = tmp_path / "ca.pem"
    if kind == "no certificate":
        file.write_text("model: x")
    elif kind == "folder":
        file.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    certificates.cache_clear()
    with pytest.raises(ConfigError, match=r"^SSL_CERT_FILE \(.*ca\.pem\) cannot be read: .*, or unset it\.$"):
        registry.chat_model(model(name))
    with pytest.raises(ConfigError, match=r"^SSL_CERT_FILE \(.*ca\.pem\) cannot be read: "):
        RemoteMoA("https://agents.example")


async def test_an_agent_server_is_called_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    async with server:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with RemoteMoA("http://agents.example") as graph:
            with pytest.raises(MoAError):
                await graph.ainvoke({"messages": "hi"})
    assert asked and asked[0].startswith(b"POST http://agents.example/")
