"""Which calls LangChain's callbacks see. It depends on names of LangChain and LangGraph, so it runs with all versions.

`tests/integration/test_unobserved.py` compares the answers of both ways.
"""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage

from moa_graph import create_moa
from tests.fakes import Fake, fake


class Watch(AsyncCallbackHandler):
    """A handler that does nothing."""


@pytest.fixture
def of_langchain(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models that LangChain's own `agenerate` has called."""
    found: list[str] = []
    agenerate = BaseChatModel.agenerate

    async def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        found.append(self.inner.model)
        return await agenerate(self, *args, **kwargs)

    monkeypatch.setattr(BaseChatModel, "agenerate", noted)
    return found


def models() -> list[Fake]:
    return [fake("p0"), fake("p1"), fake("agg", "one answer in words")]


async def test_a_run_without_observers_makes_no_call_by_langchain(of_langchain: list[str]) -> None:
    *proposers, aggregator = models()
    graph = create_moa(proposers=proposers, aggregator=aggregator)
    assert (await graph.ainvoke({"messages": "hi"}))["messages"][-1].text == "one answer in words"
    assert of_langchain == []
    await graph.ainvoke({"messages": "hi"}, {"callbacks": [Watch()]})
    assert sorted(of_langchain) == ["agg", "p0", "p1"]


async def test_only_the_answer_is_observed_by_the_messages_stream(of_langchain: list[str]) -> None:
    *proposers, aggregator = models()
    graph = create_moa(proposers=proposers, aggregator=aggregator)
    chunks = [chunk async for chunk, _ in graph.astream({"messages": "hi"}, stream_mode="messages")]
    assert "".join(chunk.content for chunk in chunks) == "one answer in words"
    assert len(chunks) > 1 and len({chunk.id for chunk in chunks}) == 1
    assert of_langchain == ["agg"]


async def test_content_in_blocks_takes_langchains_way(of_langchain: list[str]) -> None:
    """LangChain converts blocks of other formats before a model gets them."""
    *proposers, aggregator = models()
    blocks: list[str | dict[str, Any]] = [
        {"type": "text", "text": "what is this?"},
        {"type": "image", "url": "https://a.example/b.png"},
    ]
    await create_moa(proposers=proposers, aggregator=aggregator).ainvoke({"messages": [HumanMessage(blocks)]})
    assert sorted(of_langchain) == ["agg", "p0", "p1"]
