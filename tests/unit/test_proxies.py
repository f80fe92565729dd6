"""Proxies of the environment: one without a scheme counts, a wrong one is named, NO_PROXY has ports and networks."""

import pytest

from moa_graph.errors import ConfigError
from moa_graph.mixture.proposer import Proposer
from moa_graph.models import registry
from moa_graph.models.http.proxies import proxy_for
from moa_graph.models.live_models import live_models

URL = "http://10.1.2.3:8000/v1"


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
