"""Drafts that a person writes into a state are validated at once."""

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from moa_graph import create_moa
from moa_graph.errors import InputError
from moa_graph.state import merge_drafts, new_usage
from tests.faults.foreign import Own

DRAFT: dict[str, Any] = {
    "layer": 1, "slot": 0, "proposer": "p0-own", "model": "m", "status": "ok", "text": "x", "error": None,
    "usage": None, "cost": None, "seconds": 1, "first_token_seconds": None, "attempts": 1,
}  # fmt: skip

BAD: list[tuple[Any, str]] = [
    ("x", "drafts: "),
    (None, "drafts: "),
    ({"text": "x"}, "drafts: "),
    ([{"text": "x"}], r"drafts\[0\]\.layer"),
    ([{name: value for name, value in DRAFT.items() if name != "status"}], r"drafts\[0\]\.status"),
    ([{**DRAFT, "text": None}], r"drafts\[0\]\.text"),
    ([{**DRAFT, "status": "gone"}], r"drafts\[0\]\.status"),
    ([{**DRAFT, "cost": float("nan")}], r"drafts\[0\]\.cost"),
    ([{**DRAFT, "cost": -1.0}], r"drafts\[0\]\.cost"),
    ([{**DRAFT, "seconds": -1}], r"drafts\[0\]\.seconds"),
    ([{**DRAFT, "attempts": -1}], r"drafts\[0\]\.attempts"),
    ([{**DRAFT, "attempts": 10**30}], r"drafts\[0\]\.attempts"),
    ([{**DRAFT, "usage": {**new_usage(), "input_tokens": 2**53}}], r"drafts\[0\]\.usage\.input_tokens"),
    ([{**DRAFT, "usage": {**new_usage(), "reasoning_tokens": -1}}], r"drafts\[0\]\.usage\.reasoning_tokens"),
    ([{**DRAFT, "layer": 10**30, "proposer": "me"}], "is not a place"),
    ([{**DRAFT, "layer": True}], r"drafts\[0\]\.layer"),
    ([{**DRAFT, "note": "mine"}], r"drafts\[0\]\.note"),
    ([{**DRAFT, "slot": 9}], "slot 9 is not the place of p0-own"),
    ([{**DRAFT, "proposer": "p1-own"}], "slot 0 is not the place of p1-own"),
    ([{**DRAFT, "slot": -1, "proposer": "me"}], "slot -1 is not a place"),
    ([{**DRAFT, "layer": 0, "proposer": "me"}], "layer 0"),
]


@pytest.mark.parametrize(("given", "reason"), BAD)
def test_what_is_not_a_draft_is_refused_with_the_way_out(given: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        merge_drafts([DRAFT], given)  # type: ignore[list-item]  # a plain dict
    assert "Copy the draft from the state" in str(caught.value)


async def test_a_person_edits_a_draft_and_drops_another() -> None:
    aggregator = Own()
    graph = create_moa(proposers=[Own(text="one"), Own(text="second", model="b")], aggregator=aggregator,
                       checkpointer=InMemorySaver())  # fmt: skip
    config: Any = {"configurable": {"thread_id": "1"}}
    async for _ in graph.astream({"messages": "q"}, config, interrupt_after=["gather"]):
        pass
    drafts = (await graph.aget_state(config)).values["drafts"]
    with pytest.raises(InputError, match="text"):
        await graph.aupdate_state(config, {"drafts": [{**drafts[0], "text": None}]}, as_node="gather")
    edited = [{**drafts[0], "text": "edited"}, {**drafts[1], "status": "dropped"}]
    await graph.aupdate_state(config, {"drafts": edited}, as_node="gather")
    await graph.ainvoke(None, config)
    shown = str(aggregator.seen[0])
    assert "edited" in shown and "second" not in shown and "draft 1 of 1" in shown
