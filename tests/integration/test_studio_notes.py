"""What LangGraph Studio is streamed of a combiner: its nodes, its notes as events, and the field `notes` of the state.

Studio itself is a hosted site; it draws what this server streams.
"""

from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests.langgraph_dev import LangGraphDev, scripted
from tests.provider import Provider

PROBLEM = "say=%7B%22problems%22%3A%5B%7B%22kind%22%3A%22wrong%22%2C%22what%22%3A%22all%22%7D%5D%7D"


async def _streamed(client: LangGraphClient, question: Any) -> tuple[set[str], list[Any], dict[str, Any], Any]:
    """Run the graph, and return the nodes that ran, the custom events, the last state and the drawn graph."""
    nodes, events, values = set[str](), list[Any](), dict[str, Any]()
    async for part in client.runs.stream(None, "moa", input=question, stream_mode=["updates", "custom", "values"]):
        if part.event == "updates":
            nodes |= set(part.data)
        elif part.event == "custom":
            events.append(part.data)
        elif part.event == "values":
            values = part.data
    return nodes, events, values, await client.assistants.get_graph("moa")


@pytest.mark.timeout(180)
async def test_a_combiners_nodes_and_notes_are_streamed(provider: Provider, tmp_path: Path) -> None:
    reviewer = {"model": f"openai:{PROBLEM}", "base_url": provider.url}
    mixture = scripted(provider, combine={"name": "critique", "reviewers": [reviewer]})
    question: Any = {"messages": [{"role": "user", "content": "Why?"}]}
    with LangGraphDev(mixture, folder=tmp_path) as server:
        async with get_client(url=server.url) as client:
            nodes, events, values, drawn = await _streamed(client, question)
    reviewers = {"reviewer-0", "reviewer-1", "reviewer-2"}
    assert reviewers <= nodes and reviewers <= {node["id"] for node in drawn["nodes"]}
    noted = [event["note"] for event in events if event.get("moa") == "note"]
    assert [note["kind"] for note in noted] == ["review"] * 3
    assert {note["by"] for note in values["notes"]} == reviewers
    assert all(note["data"]["problems"] for note in values["notes"])
    assert values["record"]["combine"] == "critique"
