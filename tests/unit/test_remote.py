"""Servers with little information: errors from names and events, and the requests to them."""

from typing import Any

import pytest

from moa_graph import errors
from moa_graph.errors import AggregationError, MissingKeyError, MoAError
from moa_graph.graph.remote import RemoteMoA, _Seen


def draft(slot: int) -> dict[str, Any]:
    return {"moa": "draft", "layer": 1, "slot": slot, "draft": {"layer": 1, "slot": slot, "text": f"draft {slot}"}}


def told(*events: dict[str, Any]) -> _Seen:
    found = _Seen()
    for event in events:
        found.note(event)
    return found


def test_the_event_completes_an_error_that_only_has_a_name() -> None:
    failed = {"moa": "failed", "error": "AggregationError", "message": "the aggregator gave no answer"}
    error = told(draft(1), draft(0), failed).error({"error": "AggregationError", "message": "execution failed"})
    assert (type(error), str(error)) == (AggregationError, "the aggregator gave no answer")
    assert [d["slot"] for d in error.drafts] == [0, 1]


@pytest.mark.parametrize("name", [n for n in errors.__all__ if n != "MoAError"])
def test_every_error_comes_back_as_itself(name: str) -> None:
    assert type(told().error({"error": name, "message": "why"})) is getattr(errors, name)


def test_an_unknown_error_class_keeps_its_name() -> None:
    error = told(draft(0)).error({"error": "TimeoutError", "message": "job exceeded maximum execution time"})
    assert (type(error), str(error)) == (MoAError, "TimeoutError: job exceeded maximum execution time")
    assert len(error.drafts) == 1
    assert "gone" in str(told().error("gone"))
    assert isinstance(told().error({"error": "MissingKeyError", "message": "X_KEY"}), MissingKeyError)


async def test_other_events_do_not_matter_and_a_key_is_sent_only_when_it_is_the_servers_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = told({"other": 1}, {"moa": "finished", "record": {}})
    assert found.finished and found.failure is None and not found.drafts
    monkeypatch.setenv("LANGSMITH_API_KEY", "lsv2-secret")
    monkeypatch.setenv("MOA_SERVER_KEY", "")
    async with RemoteMoA("http://127.0.0.1:9") as graph:
        assert "x-api-key" not in graph._client.http.client.headers
