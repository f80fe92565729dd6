"""A stream that fails before its first byte has the status of the failure; a later failure is an event."""

import http.client
import json
from collections.abc import Iterator

import anthropic
import openai
import pytest

from tests.provider import Provider
from tests.serving import Served, mixture

ASK = [{"role": "user", "content": "What is it?"}]
BODIES = {
    "/v1/chat/completions": {"messages": ASK},
    "/v1/responses": {"input": "What is it?"},
    "/v1/completions": {"prompt": "What is it?"},
    "/v1/messages": {"messages": ASK, "max_tokens": 5},
}


@pytest.fixture(scope="module")
def patient(provider_server: Provider) -> Iterator[Served]:
    """A server that sends its first byte after 60 seconds, or with the answer."""
    drafts = ("one-say=draft%20one", "two-say=draft%20two")
    mixtures = {
        "noagg": mixture(provider_server, *drafts, aggregator="agg-err500"),
        "none": mixture(provider_server, "bad-err401", "worse-quota", aggregator="agg-say=ok"),
        "slow": mixture(provider_server, "one-err500", aggregator="agg-300ms-err500", min_drafts=0),
        "cheap": mixture(provider_server, *drafts, aggregator="agg", max_calls=1),
    }
    with Served(mixtures, heartbeat=60) as server:
        yield server


def streamed(server: Served, path: str, model: str) -> tuple[int, dict[str, str], str]:
    """Ask for a stream; return the status, the headers and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    body = json.dumps({**BODIES[path], "model": model, "stream": True})
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, text


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(("model", "status"), [("noagg", 424), ("none", 424), ("slow", 424), ("cheap", 402)])
def test_a_failure_before_the_first_byte_has_its_own_status(patient, path, model, status):
    got, headers, text = streamed(patient, path, model)
    assert got == status and headers["content-type"] == "application/json", text
    assert headers["x-should-retry"] == "false" and headers["x-request-id"].startswith("req_")
    body = json.loads(text)
    assert body["error"]["message"]
    if model == "noagg":
        assert [draft["status"] for draft in body["moa"]["drafts"]] == ["ok", "ok"]


@pytest.mark.parametrize("path", BODIES)
def test_a_failure_after_a_comment_is_an_event(commenting, path):
    status, headers, text = streamed(commenting, path, "late")
    assert status == 200 and headers["content-type"].startswith("text/event-stream")
    assert "\n: still working" in text and "500 loopback says 500" in text


@pytest.mark.parametrize(
    ("path", "event"),
    [("/v1/responses", "response.in_progress"), ("/v1/messages", "ping"), ("/v1/chat/completions", None)],
)
def test_a_stream_that_waits_has_events_for_clients_that_count_them(commenting, path, event):
    """Codex ended a stream of comments after five minutes, and repeated it five times."""
    status, _, text = streamed(commenting, path, "slow")
    events = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    waited = [block for block in text.split(": still working\n\n")[1:] if block.startswith("event: ")]
    if event is None:
        assert status == 200 and not waited
        return
    assert status == 200 and waited and waited[0].startswith(f"event: {event}\n")
    data = [json.loads(block.partition("\ndata: ")[2]) for block in events]
    if path == "/v1/responses":
        assert [each["sequence_number"] for each in data] == list(range(len(data)))
        assert {each["response"]["id"] for each in data if "response" in each} == {data[0]["response"]["id"]}
        assert data[-1]["type"] == "response.completed"


def test_the_sdks_raise_the_status_and_do_not_ask_again(patient, provider):
    client = openai.OpenAI(base_url=f"{patient.url}/v1", api_key="none", max_retries=2)
    for ask in (
        lambda: list(client.chat.completions.create(model="noagg", messages=ASK, stream=True)),
        lambda: list(client.responses.create(model="noagg", input="x", stream=True)),
    ):
        before = provider.stats()["requests"]
        with pytest.raises(openai.APIStatusError) as caught:
            ask()
        assert caught.value.status_code == 424 and provider.stats()["requests"] == before + 3
    other = anthropic.Anthropic(base_url=patient.url, api_key="none", max_retries=2)
    with pytest.raises(anthropic.APIStatusError) as failed:
        list(other.messages.create(model="noagg", max_tokens=5, messages=ASK, stream=True))
    assert failed.value.status_code == 424
