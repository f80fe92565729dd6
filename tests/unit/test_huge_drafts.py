"""Very long drafts, and streams with very many events, cost neither the answer nor the event loop."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import Field

from moa_graph import create_moa
from tests.fakes import Fake, Log, ServerFault, came, fake
from tests.loop_watch import LoopWatch
from tests.speaking import speaking


class Small(Fake):
    """A model whose window holds `window` characters."""

    window: int

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **more: Any
    ) -> ChatResult:
        done = await super()._agenerate(messages, stop, run_manager, **more)
        if len(self.sent[-1].text) > self.window:
            raise ServerFault(400, "This model's maximum context length is 128000 tokens.")
        return done


def small(window: int) -> Small:
    return Small(model="small", log=Log(["the answer"]), window=window)


async def test_a_draft_of_megabytes_does_not_defeat_the_aggregator() -> None:
    huge, good = fake("huge", "x " * 1_500_000), fake("good", "a good draft")
    aggregator = small(20_000)
    run = await came({"proposers": [huge, good], "aggregator": aggregator, "max_attempts": 1})
    assert run.error is None and run.answer == "the answer"
    assert "a good draft" in aggregator.sent[-1].text and "[cut here:" in aggregator.sent[-1].text
    assert len(aggregator.sent) == 5


async def test_a_conversation_that_is_too_long_is_not_sent_again_and_again() -> None:
    """Once the drafts cannot be cut further, another request would be the same."""
    aggregator = small(1_000)
    run = await came({"proposers": [fake("a", "x")], "aggregator": aggregator, "max_attempts": 1}, messages="y" * 5_000)
    assert run.error is not None and "maximum context length" in str(run.error)
    assert len(aggregator.sent) == len({each.text for each in aggregator.sent})


class Turns:
    """Return the number of iterations of the event loop."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)


class Rapid(Fake):
    """A model whose stream never waits: thousands of events that arrived in one read."""

    turns: Turns
    during: list[int] = Field(default_factory=list)

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        begun = self.turns.count
        for n in range(4_000):
            yield ChatGenerationChunk(message=AIMessageChunk("a ", chunk_position="last" if n == 3_999 else None))
        self.during.append(self.turns.count - begun)


async def test_many_events_in_one_read_let_the_loop_run_in_between() -> None:
    turns = Turns()
    rapid = Rapid(model="rapid", log=Log([""]), turns=turns)
    counting = asyncio.ensure_future(turns.run())
    run = await came({"proposers": [fake("a")], "aggregator": rapid}, {"stream_answer": True})
    counting.cancel()
    assert run.error is None and rapid.during[0] >= 5


@pytest.mark.parametrize("text", ["hello <think> x " * 50_000, "a `<think>` b" * 50_000])
async def test_a_long_turn_of_the_history_is_cleaned_beside_the_event_loop(text: str) -> None:
    graph = create_moa(proposers=[speaking("a"), speaking("b")], aggregator=speaking("c"))
    await graph.ainvoke({"messages": "the first question makes what the process keeps"})
    async with LoopWatch() as watch:
        await graph.ainvoke({"messages": [HumanMessage("one"), AIMessage(text), HumanMessage("two")]})
    assert watch.freeze_ms < 100
