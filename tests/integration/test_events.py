"""Custom events: one documented, typed shape, and the same content in process, under the server and remotely."""

import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_client
from pydantic import ConfigDict, TypeAdapter

from moa_graph import AggregationError, create_moa
from moa_graph.graph.events import AnyEvent
from moa_graph.mixture.context import BoundContext
from tests.langgraph_dev import scripted

ASK = {"messages": [{"role": "user", "content": "What is it?"}]}
STREAMED = {"layers": 3, "stream_drafts": True, "stream_answer": True}
PAGE = Path(__file__).parents[2] / "docs" / "events.md"
KINDS: dict[str, Any] = {get_args(get_type_hints(kind)["moa"])[0]: kind for kind in get_args(AnyEvent)}


def checked(event: dict[str, Any]) -> dict[str, Any]:
    """Check that the event matches its type: no missing, additional or mistyped keys."""
    kind = KINDS[event["moa"]]
    kind.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)
    assert TypeAdapter(kind).validate_python(event) == event
    return event


def plain(event: dict[str, Any]) -> Any:
    """Return the fields that depend neither on time nor on chance."""
    if event["moa"] == "draft":
        draft = event["draft"]
        return {**event, "draft": {k: v for k, v in draft.items() if not k.endswith("seconds")}}
    if event["moa"] == "finished":
        return {**event, "record": {k: v for k, v in event["record"].items() if k != "seconds"}}
    return event


def content(events: list[dict[str, Any]]) -> list[Any]:
    """All events in an order that does not depend on which proposer was faster; joined tokens instead of pieces."""
    joined: dict[str, Any] = {}
    rest = []
    for event in map(checked, events):
        if event["moa"] in ("draft_token", "answer_token"):
            key = repr({k: v for k, v in event.items() if k != "text"})
            joined[key] = joined.get(key, "") + event["text"]
        else:
            rest.append(plain(event))
    return sorted([*map(repr, rest), *map(repr, joined.items())])


async def test_the_same_events_in_process_under_the_server_and_remotely(langgraph_dev, provider):
    graph = create_moa(scripted(provider))
    here = [event async for event in graph.astream(ASK, context=STREAMED, stream_mode="custom")]
    assert {event["moa"] for event in here} == set(KINDS) - {"quorum", "failed", "note"}
    async with get_client(url=langgraph_dev.url) as client:
        stream = client.runs.stream(None, "moa", input=ASK, context=STREAMED, stream_mode="custom")
        served = [part.data async for part in stream if part.event == "custom"]
        remote = RemoteGraph("moa", client=client)
        far = [event async for event in remote.astream(ASK, context=STREAMED, stream_mode="custom")]
    assert content(here) == content(served) == content(far)


async def test_quorum_tools_and_failure(provider):
    mixture = scripted(provider)
    events = [e async for e in create_moa(mixture, quorum=2).astream(ASK, stream_mode="custom")]
    assert "quorum" in [checked(event)["moa"] for event in events]
    mixture["aggregator"] = {**mixture["aggregator"], "model": "openai:agg-tok=4"}
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    context = BoundContext(stream_answer=True, bound={"tools": [tool]})
    events = [e async for e in create_moa(mixture).astream(ASK, context=context, stream_mode="custom")]
    pieces = [e["tool_call_chunks"] for e in map(checked, events) if e["moa"] == "answer_token"]
    assert pieces[0][0]["name"] == "add"
    mixture["aggregator"] = {**mixture["aggregator"], "model": "openai:agg-err400"}
    events = []
    with pytest.raises(AggregationError):
        async for event in create_moa(mixture).astream(ASK, stream_mode="custom"):
            events.append(event)
    assert checked(events[-1])["error"] == "AggregationError"


def test_the_page_lists_every_kind_with_its_keys():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| .* \|$", PAGE.read_text().partition("## A draft")[0], re.M)
    told = {kind: set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", keys))) for kind, keys in rows if kind in KINDS}
    assert told == {kind: set(shape.__annotations__) - {"moa"} for kind, shape in KINDS.items()}
