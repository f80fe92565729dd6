"""The share of prompt characters that repeat a prefix already sent to the same model, which prompt caches bill less."""

import json
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import StructuredTool
from pydantic import Field

from moa_graph import ChatMoA, create_moa


class Recorder(BaseChatModel):
    """A model in this process that keeps each request as one text: tools, then messages, as providers order them."""

    model: str
    answer: str
    turns: int = 0
    requests: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "recorder"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=tools)

    def _generate(self, messages: list[BaseMessage], *args: Any, tools: Any = (), **kwargs: Any) -> ChatResult:
        sent = [[m.type, m.content, getattr(m, "tool_calls", None), getattr(m, "tool_call_id", None)] for m in messages]
        # Without the brackets at its end, a shorter list is a prefix of a longer one.
        self.requests.append(json.dumps([tools, *sent], default=str).rstrip(']"'))
        done = sum(m.type == "tool" for m in messages)
        calls = [{"name": "read", "args": {"page": done}, "id": f"call{done}"}] if tools and done < self.turns else []
        message = AIMessage("" if calls else f"{len(self.requests)}. {self.answer}", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])


def common(one: str, other: str) -> int:
    """How many characters two texts have in common from their beginning."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in same)


def prefix_share(models: Sequence[Recorder]) -> float:
    """The repeated characters of all requests over all their characters."""
    repeated = total = 0
    for model in models:
        for n, request in enumerate(model.requests):
            total += len(request)
            repeated += max((common(request, earlier) for earlier in model.requests[:n]), default=0)
    return repeated / total


def three(length: int, **fields: Any) -> list[Recorder]:
    return [Recorder(model=name, answer=(name + " says so. ") * (length // 11), **fields) for name in "abc"]


async def two_turns(form: str) -> float:
    """Two turns about a document of 40,000 characters; three proposers, three layers."""
    models = three(1_000)
    graph = create_moa(proposers=models, aggregator=models[0], layers=3, prompt=form)  # type: ignore[arg-type]
    first = [{"role": "user", "content": "Sum up. " + "A sentence of the document. " * 1_430}]
    turn = await graph.ainvoke({"messages": first})
    await graph.ainvoke({"messages": [*turn["messages"], {"role": "user", "content": "And the second half?"}]})
    assert [len(model.requests) for model in models] == [6, 4, 4]
    return prefix_share(models)


async def test_most_of_a_conversation_about_a_document_is_repeated() -> None:
    assert await two_turns("fenced") >= 0.72
    # The published form puts the drafts first, which ends the common prefix at once.
    assert await two_turns("paper") < 0.3


def agent_loop() -> float:
    """Eight tool turns; system prompt and tools of 40,000 characters, results of 2,000, drafts of 1,000."""
    models = three(1_000, turns=8)
    tools = [
        StructuredTool.from_function(lambda page: "r" * 2_000, name=name, description="Read a page. " * 770)
        for name in ("read", "search")
    ]
    agents = pytest.importorskip("langchain.agents", reason="langchain is not among the quick tests' packages")
    agent = agents.create_agent(
        ChatMoA(proposers=models, aggregator=models[0]), tools, system_prompt="Be exact. " * 2_000
    )
    result = agent.invoke({"messages": "Read eight pages."}, {"recursion_limit": 50})
    assert len([m for m in result["messages"] if m.type == "tool"]) == 8
    assert [len(model.requests) for model in models] == [18, 9, 9]
    return prefix_share(models)


def test_most_of_an_agents_loop_is_repeated() -> None:
    assert agent_loop() >= 0.80


async def test_the_text_before_the_drafts_is_the_same() -> None:
    """Layer 1 has no drafts and layer 2 has: the second request begins with all of the first."""
    models = three(30)
    graph = create_moa(proposers=models, aggregator=models[0], layers=3, system="Be brief.")
    await graph.ainvoke({"messages": "Why?"})
    first, second = models[1].requests
    assert common(first, second) == first.index("Why?") + len("Why?")
