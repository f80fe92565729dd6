"""A callback handler with `raise_error=True` stops a run by what it raises, as it stops any other of LangChain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler

from moa_graph import create_moa
from moa_graph.costs.ledger import Ledger
from tests.fakes import fake


class Stopped(Exception):
    """What the handlers raise."""


def handler(hook: str, *, calls: int = 1, stops: bool = True, waits: bool = False) -> BaseCallbackHandler:
    """A handler that raises at a hook from a call on."""
    seen = 0

    def raising(_self: object, *_arguments: Any, **_options: Any) -> None:
        nonlocal seen
        seen += 1
        if seen >= calls:
            raise Stopped(hook)

    async def waiting(self: object, *arguments: Any, **options: Any) -> None:
        raising(self, *arguments, **options)

    base = AsyncCallbackHandler if waits else BaseCallbackHandler
    made = type("Handler", (base,), {hook: waiting if waits else raising, "raise_error": stops})()
    assert isinstance(made, BaseCallbackHandler)
    return made


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    ("hook", "calls", "fields", "context"),
    [
        ("on_chat_model_start", 1, {}, {}),
        ("on_chat_model_start", 1, {"hedge": 5.0, "quorum": 1}, {}),
        ("on_llm_end", 2, {}, {}),
        ("on_chat_model_start", 3, {"combine": "select"}, {}),
        ("on_chat_model_start", 3, {}, {}),
        ("on_llm_end", 3, {}, {"stream_answer": True}),
        ("on_llm_new_token", 1, {}, {"stream_answer": True}),
    ],
)
async def test_what_a_handler_raises_stops_the_run(
    hook: str, calls: int, fields: dict[str, Any], context: dict[str, Any], waits: bool
) -> None:
    one, two, last, fallback = fake("one"), fake("two"), fake("last"), fake("fallback")
    graph = create_moa(proposers=[one, two], aggregator=last, fallbacks=[fallback], **fields)
    with pytest.raises(Stopped, match=hook):
        await graph.ainvoke(
            {"messages": "hi"}, {"callbacks": [handler(hook, calls=calls, waits=waits)]}, context=context
        )
    assert not fallback.sent
    assert len(last.sent) <= (hook != "on_chat_model_start") and (calls > 2 or context or not last.sent)


def test_it_stops_a_sync_run() -> None:
    one, last = fake("one"), fake("last")
    graph = create_moa(proposers=[one], aggregator=last)
    with pytest.raises(Stopped):
        graph.invoke({"messages": "hi"}, {"callbacks": [handler("on_chat_model_start", calls=2)]})
    assert one.sent and not last.sent


async def test_a_handler_without_raise_error_stops_nothing() -> None:
    graph = create_moa(proposers=[fake("one")], aggregator=fake("last"))
    for hook in ("on_chat_model_start", "on_llm_end"):
        result = await graph.ainvoke({"messages": "hi"}, {"callbacks": [handler(hook, stops=False)]})
        assert result["messages"][-1].text == "I am last."


async def test_drafts_that_are_paid_for_stay_in_the_ledger(tmp_path: Path) -> None:
    one, two = fake("one"), fake("two")
    with Ledger(tmp_path / "l.db", run="r") as ledger:
        graph = create_moa(proposers=[one, two], aggregator=fake("last"), ledger=ledger)
        with pytest.raises(Stopped):
            await graph.ainvoke({"messages": "hi"}, {"callbacks": [handler("on_chat_model_start", calls=3)]})
        assert (await graph.ainvoke({"messages": "hi"}))["messages"][-1].text == "I am last."
    assert (len(one.sent), len(two.sent)) == (1, 1)
