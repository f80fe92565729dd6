"""From a mixture's settings to the request: names, parameters, retries and keys, as the provider receives them."""

import dataclasses
from pathlib import Path
from typing import Any

import httpx2
import pytest
from langchain_openai import ChatOpenAI
from langchain_together import ChatTogether

from moa_graph import AggregationError, ConfigError, MoAContext, Proposer, create_moa
from moa_graph.models.providers import PROVIDERS
from moa_graph.models.registry import chat_model
from tests import provider as loopback

QUESTION = {"messages": [{"role": "user", "content": "Why is the sky blue?"}]}


@pytest.fixture
def hosts(provider: loopback.Provider, monkeypatch: pytest.MonkeyPatch) -> loopback.Provider:
    """The named providers' hosts are the loopback provider."""
    for name, known in list(PROVIDERS.items()):
        monkeypatch.setitem(PROVIDERS, name, dataclasses.replace(known, base_url=provider.url))
        if known.key:
            monkeypatch.setenv(known.key, f"key-of-{name}")
    return provider


async def asked(provider: loopback.Provider, spec: Proposer, **options: Any) -> dict[str, Any]:
    """The body of the request that the spec makes."""
    await chat_model(spec).ainvoke("hi", **options)
    body: dict[str, Any] = provider.requests(spec.label.partition(":")[2])[-1].json
    return body


@pytest.mark.parametrize("path", ["cheap", "sdk"])
@pytest.mark.parametrize(
    ("model", "own", "name"),
    [
        ("openai:a", False, "max_completion_tokens"),
        ("together:a", False, "max_tokens"),
        ("openai:a", True, "max_tokens"),
        ("together:a", True, "max_tokens"),
    ],
)
async def test_a_limit_goes_out_under_the_name_that_the_server_reads(
    hosts: loopback.Provider, model: str, own: bool, name: str, path: str
) -> None:
    """Ollama and llama.cpp silently ignore `max_completion_tokens`."""
    spec = Proposer(model=model, base_url=hosts.url if own else None, max_tokens=7)
    options = {"extra_headers": {"x-mine": "1"}} if path == "sdk" else {}
    body = await asked(hosts, spec, **options)
    assert ("x-stainless-lang" in hosts.requests("a")[-1].headers) is (path == "sdk")
    assert {key: body[key] for key in body if "tokens" in key} == {name: 7}


async def test_a_limit_written_into_params_keeps_its_name(hosts: loopback.Provider) -> None:
    body = await asked(hosts, Proposer(model="openai:a", base_url=hosts.url, params={"max_completion_tokens": 7}))
    assert {key: body[key] for key in body if "tokens" in key} == {"max_completion_tokens": 7}


@pytest.mark.parametrize("model", ["openai:a", "together:a"])
@pytest.mark.parametrize("own", [True, False])
async def test_any_parameter_reaches_the_server(hosts: loopback.Provider, model: str, own: bool) -> None:
    """Those that LangChain has a field for, those it has none for, and those the SDK does not know either."""
    params = {"top_p": 0.5, "top_k": 40, "reasoning_effort": "low", "extra_body": {"min_p": 0.1}, "user": "u"}
    body = await asked(hosts, Proposer(model=model, base_url=hosts.url if own else None, params=params))
    found = {name: body.get(name) for name in ("top_p", "top_k", "reasoning_effort", "min_p", "user")}
    assert found == {"top_p": 0.5, "top_k": 40, "reasoning_effort": "low", "min_p": 0.1, "user": "u"}
    assert "extra_body" not in body


@pytest.mark.parametrize("params", [{"top_p": "much"}, {"extra_body": 3}])
async def test_a_parameter_of_the_wrong_kind_is_refused_before_any_request(
    provider: loopback.Provider, params: dict[str, Any]
) -> None:
    wrong = {"model": "openai:a", "base_url": provider.url, "params": params}
    with pytest.raises(ConfigError, match="cannot be made"):
        await create_moa(proposers=[wrong], aggregator=wrong).ainvoke(QUESTION)
    assert provider.stats()["requests"] == 0


@pytest.mark.parametrize(
    ("model", "status"),
    [("tok=4-a", "ok"), ("length-a", "truncated"), ("filter-a", "filtered"), ("refuse-a", "refused")],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_answers_of_the_responses_api_are_judged_as_others_are(
    provider: loopback.Provider, model: str, status: str, stream: bool
) -> None:
    """LangChain takes that API for `reasoning`, and for new models with tools."""
    spec = {"model": f"openai:{model}", "base_url": provider.url, "params": {"reasoning": {"effort": "low"}}}
    good = {"model": "openai:tok=4-b", "base_url": provider.url}
    graph = create_moa(proposers=[spec, good], aggregator=good)
    result = await graph.ainvoke(QUESTION, context=MoAContext(stream_drafts=stream))
    assert provider.requests(model)[0].path.endswith("/responses")
    draft = result["drafts"][0]
    assert draft["status"] == status and draft["usage"]["output_tokens"] >= 0
    assert bool(draft["error"]) is (status in ("filtered", "refused"))
    if status == "refused":
        assert draft["error"] == "I can't help with that."


async def test_a_key_put_right_is_used_at_once(hosts: loopback.Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = create_moa(proposers=["openai:tok=4-a", "together:tok=4-b"], aggregator="openai:tok=4-agg")
    for key in ("wrong-key-1", "right-key-2"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        await graph.ainvoke(QUESTION)
        sent = [hosts.requests(model)[-1].headers["authorization"] for model in ("tok=4-a", "tok=4-b", "tok=4-agg")]
        assert sent == [f"Bearer {key}", "Bearer key-of-together", f"Bearer {key}"]


async def test_a_key_put_right_in_the_file_is_used_at_once(
    hosts: loopback.Provider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.chdir(tmp_path)
    graph = create_moa(proposers=["openai:tok=4-a"], aggregator="openai:tok=4-agg")
    for key in ("wrong-key-1", "right-key-2"):
        (tmp_path / ".env").write_text(f"OPENAI_API_KEY={key}\n")
        await graph.ainvoke(QUESTION)
        assert hosts.requests("tok=4-a")[-1].headers["authorization"] == f"Bearer {key}"


@pytest.mark.parametrize("kind", [ChatOpenAI, ChatTogether])
@pytest.mark.parametrize("responses", [False, True])
async def test_the_callers_model_makes_no_retries(
    provider: loopback.Provider, kind: type[Any], responses: bool
) -> None:
    """Retries are made in one place: 3 attempts are 3 requests, not 9. The caller's object is not changed."""
    fields = {"reasoning": {"effort": "low"}} if responses else {}
    async with httpx2.AsyncClient() as http:
        mine = kind(model="err500-own", base_url=provider.url, api_key="k", http_async_client=http, **fields)
        good = {"model": "openai:tok=4-b", "base_url": provider.url}
        with pytest.raises(AggregationError):
            await create_moa(proposers=[mine, good], aggregator=mine, max_attempts=2).ainvoke(QUESTION)
    assert provider.stats()["models"]["err500-own"]["requests"] == 4
    assert mine.max_retries is None and mine.root_async_client.max_retries == 2
