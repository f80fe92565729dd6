"""Runs with combiners: what is cancelled, who holds the tools, what a resume repeats, and what the ledger pays for."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import Field, PrivateAttr

from moa_graph import ChatMoA, Mixture, create_moa
from moa_graph.costs.ledger import Ledger
from moa_graph.mixture.combiners import NAMES
from tests.provider import Provider
from tests.unit.test_combiners import Fake, drafts_in, fake

QUESTION = {"messages": "q"}
CONFIG: Any = {"configurable": {"thread_id": "t"}}


@pytest.mark.parametrize("proposers", [("tok=4-a", "hang-b", "hang-c"), ("hang-b", "100ms-tok=4-a", "hang-c")])
async def test_the_first_draft_that_passes_leaves_no_call_in_flight(
    provider: Provider, proposers: Sequence[str]
) -> None:
    checked: list[str] = []

    def check(messages: Sequence[BaseMessage], text: str) -> bool:
        checked.append(text)
        return True

    graph = create_moa(
        proposers=[{"model": f"openai:{model}", "base_url": provider.url} for model in proposers],
        aggregator={"model": "openai:tok=4-agg", "base_url": provider.url},
        combine={"name": "verify", "check": check},
        deadline=60.0,
    )
    async with asyncio.timeout(30):
        async for event in graph.astream(QUESTION, stream_mode="custom"):
            if event["moa"] == "aggregating":
                # The answer is only now made, and the server has seen both connections close.
                stats = provider.wait(lambda s: s["in_flight"] == 0)
                assert (stats["in_flight"], stats["disconnected"]) == (0, 2)
    assert len(checked) == 1 and provider.stats()["requests"] == 3


@tool
def weather(city: str) -> str:
    """Return the weather of a city."""
    return city


class Holder(Fake):
    """A model that says which tools it was given, and calls the first of them."""

    tools: list[Any] = Field(default_factory=list)

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.model_copy(update={"tools": list(tools)})

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.seen.append("with tools" if self.tools else "without tools")
        calls: Any = [{"name": "weather", "args": {"city": "Rome"}, "id": "call_1"}] if self.tools else []
        found = AIMessage(self.reply if not calls else "", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=found)])


def holder(name: str, reply: str = "#### 5") -> Holder:
    return Holder(model=name, reply=reply, seen=[])


def combining(name: str, other: Holder) -> Any:
    return {
        "analyze": {"name": "analyze", "analyst": other},
        "select": {"name": "select", "judge": other, "judges": 2},
        "verify": {"name": "verify", "check": lambda messages, text: True},
        "escalate": {"name": "escalate", "strong": [other], "gate": {"model": other}},
        "critique": {"name": "critique", "reviewers": [other]},
    }.get(name, name)


@pytest.mark.parametrize("name", NAMES)
def test_tools_stay_with_the_last_writer(name: str) -> None:
    proposers, other, writer = [holder("a"), holder("b")], holder("other"), holder("writer")
    model = ChatMoA(proposers=proposers, aggregator=writer, combine=combining(name, other)).bind_tools([weather])
    answer = model.invoke("What is the weather in Rome?")
    assert [call["name"] for call in answer.tool_calls] == ["weather"]
    assert writer.seen[-1] == "with tools" and writer.seen.count("with tools") == 1
    assert {said for each in (*proposers, other) for said in each.seen} <= {"without tools"}


async def test_a_resumed_run_keeps_the_combiner_it_began_with() -> None:
    graph = create_moa(
        proposers=[fake("a", "x"), fake("b", "y"), fake("c", "y")],
        aggregator=fake("w", "the writer's"),
        combiners=["vote"],
        checkpointer=InMemorySaver(),
    )
    await graph.ainvoke(QUESTION, CONFIG, context={"combine": "vote"}, interrupt_after=["gather"])
    result = await graph.ainvoke(None, CONFIG)
    assert result["messages"][-1].content == "y" and result["record"]["combine"] == "vote"


class Judge(BaseChatModel):
    """A judge that gives every draft the same score, but hangs on its call number `hangs`."""

    model: str
    hangs: int
    # A field would be part of the model's identity, and so of the ledger's keys.
    _calls: list[str] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "judge"

    @property
    def calls(self) -> list[str]:
        return self._calls

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise AssertionError("only the async side is called")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        hangs = len(self._calls) + 1 == self.hangs
        self._calls.append("hung" if hangs else "answered")
        if hangs:
            await asyncio.Event().wait()
        scores = dict.fromkeys(drafts_in(str(messages[-1].content)), 5)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(json.dumps({"scores": scores})))])


async def cancelled(run: Any, judge: Judge, calls: int) -> None:
    """Cancel the run once its judge was called `calls` times and all calls but the hanging one have come back."""
    task = asyncio.ensure_future(run)
    while len(judge.calls) < calls:
        await asyncio.sleep(0.01)
    for _ in range(20):  # not one sleep: a standstill of the machine would use it up
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_ledger_repeats_no_call_of_a_combiner_that_came_back(provider: Provider, tmp_path: Path) -> None:
    judge = Judge(model="j", hangs=3)
    mixture = Mixture(
        proposers=[{"model": f"openai:tok=4-{name}", "base_url": provider.url} for name in "ab"],
        aggregator={"model": "openai:tok=4-agg", "base_url": provider.url},
        combine={"name": "select", "judge": judge, "judges": 4, "keep": "all"},
    )

    async def ask() -> dict[str, Any]:
        with Ledger(tmp_path / "l.db", run="r") as ledger:
            return await create_moa(mixture, ledger=ledger).ainvoke(QUESTION)

    await cancelled(ask(), judge, 4)
    result = await ask()
    assert provider.stats()["requests"] == 3
    assert judge.calls.count("answered") == 4 and judge.calls.count("hung") == 1
    assert result["record"]["decision"]["verdicts"] == 4 and not result["record"]["degraded"]
    await ask()
    assert len(judge.calls) == 5 and provider.stats()["requests"] == 3


async def test_a_checkpoint_in_the_middle_of_a_combiners_calls_keeps_the_notes_that_came_back() -> None:
    judge = Judge(model="j", hangs=2)
    graph = create_moa(
        proposers=[fake("a", "x"), fake("b", "y")],
        aggregator=fake("w", "z"),
        combine={"name": "select", "judge": judge, "judges": 3},
        checkpointer=InMemorySaver(),
    )
    await cancelled(graph.ainvoke(QUESTION, CONFIG, durability="sync"), judge, 3)
    result = await graph.ainvoke(None, CONFIG)
    assert len(judge.calls) == 4 and len(result["notes"]) == 3
    assert result["record"]["decision"]["verdicts"] == 3 and result["record"]["calls"] == 5
