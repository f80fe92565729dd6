"""One slot's call: which calls are repeated, and the time that they may take."""

import asyncio
from typing import Any

from langchain_core.exceptions import ContextOverflowError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from moa_graph import create_moa
from tests.clocks import virtual_time


class Unavailable(Exception):
    status_code = 503


class Scripted(BaseChatModel):
    """Waits and then raises or answers, as its script says, one entry for each call."""

    script: list[tuple[float, Any]] = Field(default_factory=list)
    sent: list[int] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise AssertionError("only the async side is called")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        seconds, result = self.script[len(self.sent)]
        self.sent.append(sum(len(str(message.content)) for message in messages))
        await asyncio.sleep(seconds)
        if isinstance(result, Exception):
            raise result
        return ChatResult(generations=[ChatGeneration(message=AIMessage(result))])


def scripted(*script: tuple[float, Any]) -> Scripted:
    return Scripted(script=list(script), sent=[])


@virtual_time
async def test_a_retry_after_an_overflow_has_the_remaining_time() -> None:
    # 1.8 s are left after the overflow, and the back-off takes at most 1 s. Subtracting the 2.2 s twice leaves none.
    aggregator = scripted((2.2, ContextOverflowError("too long")), (0.0, Unavailable("busy")), (0.0, "the answer"))
    graph = create_moa(
        proposers=[scripted((0.0, "a draft " * 200))], aggregator=aggregator, deadline=4.0, max_attempts=5
    )
    result = await graph.ainvoke({"messages": "q"})
    assert result["messages"][-1].content == "the answer"
    assert len(aggregator.sent) == 3 and aggregator.sent[0] > aggregator.sent[1] == aggregator.sent[2]
    assert result["record"]["degraded"]


@virtual_time
async def test_an_overflow_does_not_lengthen_the_deadline() -> None:
    aggregator = scripted((0.6, ContextOverflowError("too long")), (30.0, "too late"))
    graph = create_moa(
        proposers=[scripted((0.0, "a draft " * 200))], aggregator=aggregator, deadline=1.0, on_failure="best_draft"
    )
    async with asyncio.timeout(3):
        result = await graph.ainvoke({"messages": "q"})
    assert result["record"]["status"] == "best_draft" and len(aggregator.sent) == 2
