"""Odd and hostile replies beyond the attack kit, in both positions, streamed and not, by `openai_http` and the SDK.

A proposer's reply never ends the run, its healthy sibling keeps its draft, and the draft says what came. The
aggregator's reply is an answer or one typed error with the drafts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from moa_graph import MoAContext, MoAError, create_moa
from moa_graph.models import rate_limit
from moa_graph.state import Draft
from tests.clocks import steady_time
from tests.faults import LONG, odd_replies
from tests.faults.odd_replies import GROUPS, REPLIES, serving
from tests.loop_watch import LoopWatch

MAX_GROWTH_MB = 100.0
long = pytest.mark.skipif(not LONG, reason="endless streams run until their deadlines: `make faults` has them")
WAYS = [
    pytest.param(group, streamed, id=f"{group}-{way}", marks=[long] if group == "endless" and streamed else [])
    for group in GROUPS
    for streamed, way in ((False, "whole"), (True, "streamed"))
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as address:
        yield address


def sdk(name: str, url: str) -> ChatOpenAI:
    """The caller's own chat model: its replies go through the SDK."""
    return ChatOpenAI(model=name, base_url=url, api_key=SecretStr("k"))


async def run(bad: Any, position: str, streamed: bool, url: str) -> tuple[list[Draft], str]:
    """Return the drafts and the class of the error that the run ended with; empty when it answered."""
    rate_limit._limiters.clear()
    good = {"model": "openai:fine", "base_url": url}
    first = bad if position == "proposer" else good
    graph = create_moa(
        proposers=[{**first, "name": "first"}, {**good, "name": "good"}],
        aggregator=good if position == "proposer" else bad["model"] if len(bad) == 1 else bad,
        deadline=4.0,
        max_attempts=1,
        checkpointer=InMemorySaver(),
    )
    config: Any = {"configurable": {"thread_id": "t"}}
    state: Any = None
    try:
        async with asyncio.timeout(60):
            if not streamed:
                state = await graph.ainvoke({"messages": "why?"}, config)
            else:
                context = MoAContext(stream_drafts=True, stream_answer=True)
                parts = graph.astream({"messages": "why?"}, config, context=context, stream_mode=["custom", "values"])
                async for mode, part in parts:
                    state = part if mode == "values" else state
    except MoAError as error:
        return list(error.drafts), type(error).__name__
    return state["drafts"], ""


def kept(drafts: list[Draft]) -> bool:
    return any("good" in draft["proposer"] and draft["status"] == "ok" for draft in drafts)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("group", "streamed"), WAYS)
@steady_time
async def test_odd_replies_become_drafts_with_the_expected_status(
    group: str, streamed: bool, url: str, monkeypatch: Any
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    wrong: list[str] = []
    for name in (f"{group}: {each}" for each in GROUPS[group]):
        odd = REPLIES[name]
        if odd.sent(streamed) is None:
            continue
        async with LoopWatch() as watch:
            drafts, error = await run({"model": f"openai:{name}", "base_url": url}, "proposer", streamed, url)
        draft = next((each for each in drafts if "first" in each["proposer"]), None)
        if error or draft is None or not kept(drafts):
            wrong.append(f"{name}: the run ended with {error}")
        elif odd.status and draft["status"] not in odd.status:
            wrong.append(f"{name}: {draft['status']}, {draft['error']}")
        elif odd.words not in draft["text"] + (draft["error"] or ""):
            wrong.append(f"{name}: {draft['text'][:100]!r}, {draft['error']}")
        if watch.growth_mb > MAX_GROWTH_MB:
            wrong.append(f"{name}: {watch.growth_mb} MB")
    assert wrong == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # of the SDK's objects
@pytest.mark.parametrize("client", ["wire", "sdk"])
@pytest.mark.parametrize(("group", "streamed"), WAYS)
@steady_time
async def test_an_odd_reply_is_an_answer_or_a_typed_error(
    group: str, client: str, streamed: bool, url: str, monkeypatch: Any
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    wrong: list[str] = []
    for name in (f"{group}: {each}" for each in GROUPS[group]):
        if REPLIES[name].sent(streamed) is None:
            continue
        bad = {"model": f"openai:{name}", "base_url": url} if client == "wire" else {"model": sdk(name, url)}
        for position in ("proposer", "aggregator") if client == "sdk" else ("aggregator",):
            drafts, error = await run(bad, position, streamed, url)
            if not kept(drafts) or (position == "proposer" and error):
                wrong.append(f"{name}, {position}: {error}")
    assert wrong == []


def test_there_are_enough_of_them() -> None:
    assert len(odd_replies.REPLIES) >= 150
