"""A draft that was cut and is the answer is said to be cut, in the record, the message and all protocols."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from moa_graph import ChatMoA, Mixture
from tests.provider import Provider
from tests.serving import Served

COMBINERS: dict[str, dict[str, Any]] = {
    "vote": {"combine": "vote"},
    "verify": {"combine": {"name": "verify", "check": lambda messages, text: True}},
    "select": {"combine": {"name": "select"}},
    "best": {"aggregator": "err400", "on_failure": "best_draft"},
}
DRAFTS = {"cut": "length-tok=8", "whole": "tok=8"}


def mixture(provider: Provider, name: str, draft: str) -> Mixture:
    fields = dict(COMBINERS[name])
    aggregator = {"model": f"openai:{fields.pop('aggregator', 'tok=4-agg')}", "base_url": provider.url}
    proposers: list[Any] = [{"model": f"openai:{DRAFTS[draft]}", "base_url": provider.url}]
    return Mixture(proposers=proposers, aggregator=aggregator, **fields)


@pytest.mark.parametrize("name", COMBINERS)
@pytest.mark.parametrize("draft", DRAFTS)
async def test_the_record_and_the_message_say_it(provider: Provider, name: str, draft: str) -> None:
    answer = await ChatMoA(mixture(provider, name, draft)).ainvoke("q")
    assert answer.response_metadata.get("finish_reason") == ("length" if draft == "cut" else None)
    status = "best_draft" if name == "best" else "truncated" if draft == "cut" else "ok"
    assert answer.response_metadata["record"]["status"] == status


def test_all_protocols_say_it(provider: Provider) -> None:
    mixtures = {f"{name}-{draft}": mixture(provider, name, draft) for name in COMBINERS for draft in DRAFTS}
    with Served(mixtures) as served, httpx2.Client(base_url=served.url) as client:
        for name in mixtures:
            asked = {"model": name, "messages": [{"role": "user", "content": "q"}]}
            cut = name.endswith("-cut")
            whole = client.post("/v1/chat/completions", json=asked).json()
            assert whole["choices"][0]["finish_reason"] == ("length" if cut else "stop"), name
            streamed = client.post("/v1/chat/completions", json={**asked, "stream": True}).text
            assert ('"length"' in streamed) == cut, name
            message = client.post("/v1/messages", json={**asked, "max_tokens": 99}).json()
            assert message["stop_reason"] == ("max_tokens" if cut else "end_turn"), name
            response = client.post("/v1/responses", json={"model": name, "input": "q"}).json()
            assert response["status"] == ("incomplete" if cut else "completed"), name
