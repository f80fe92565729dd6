"""A client's retry of a request that failed does not buy the drafts again."""

from collections import Counter
from typing import Any

import httpx2
import pytest

from moa_graph.serve import retries
from moa_graph.serve.retries import RecentCalls
from tests.provider import Provider
from tests.serving import Served, mixture

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}


def ask(served: Served, body: dict[str, Any] = BODY, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.post(f"{served.url}/v1/chat/completions", json=body, headers=named, timeout=30)


def calls(provider: Provider) -> Counter[str]:
    return Counter(request.model.split("-")[0] for request in provider.requests())


def serving(provider: Provider, aggregator: str = "agg-err500x1-say=fine", **fields: Any) -> Served:
    return Served({"m": mixture(provider, "one-say=a", "two-say=b", aggregator=aggregator, **fields)})


@pytest.mark.parametrize("stream", [False, True])
def test_a_retry_pays_for_the_answer_only(provider: Provider, stream: bool) -> None:
    body = {**BODY, "stream": stream}
    with serving(provider) as served:
        first, second = ask(served, body), ask(served, body)
        assert '"error"' in first.text and second.status_code == 200 and '"error"' not in second.text
        assert calls(provider) == {"one": 1, "two": 1, "agg": 2}


def test_an_answered_question_is_sent_again(provider: Provider) -> None:
    with serving(provider, "agg-say=fine") as served:
        assert [ask(served).status_code for _ in range(2)] == [200, 200]
    assert calls(provider) == {"one": 2, "two": 2, "agg": 2}


def test_a_failed_proposer_is_called_again_and_the_others_are_not(provider: Provider) -> None:
    models = Served(
        {"m": mixture(provider, "one-say=a", "two-err500x1-say=b", aggregator="agg-say=fine", min_drafts=2)}
    )
    with models as served:
        assert ask(served).status_code == 424
        assert ask(served).status_code == 200
    assert calls(provider) == {"one": 1, "two": 2, "agg": 1}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"idempotency_key": "a"}, {"idempotency_key": "b"}),
        ({"authorization": "Bearer a"}, {"authorization": "Bearer b"}),
        ({}, {"body": {**BODY, "messages": [{"role": "user", "content": "And the sea?"}]}}),
    ],
)
def test_another_request_takes_nothing_from_it(provider: Provider, first: Any, second: Any) -> None:
    with serving(provider) as served:
        assert ask(served, **first).status_code == 424
        ask(served, **second)
    assert calls(provider) == {"one": 2, "two": 2, "agg": 2}


def test_after_a_minute_all_calls_are_made_again(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "SECONDS", 0.0)
    with serving(provider) as served:
        assert [ask(served).status_code for _ in range(2)] == [424, 200]
    assert calls(provider) == {"one": 2, "two": 2, "agg": 2}


def test_layers_after_a_failed_one_are_paid_for_once(provider: Provider) -> None:
    with serving(provider, layers=3) as served:
        ask(served)
        assert ask(served).status_code == 200
    assert calls(provider) == {"one": 2, "two": 2, "agg": 2}


def test_every_message_and_parameter_counts_in_the_key() -> None:
    from langchain_core.messages import AIMessage, HumanMessage

    def key(middle: Any, **params: object) -> str:
        messages = [HumanMessage("why?"), HumanMessage(middle), AIMessage("because")]
        place = {"item": "", "layer": 1, "slot": 0, "role": "aggregator", "repeat": 0, "model": "m"}
        return RecentCalls().call_key(**place, params=params, messages=messages)  # type: ignore[arg-type]  # a plain dict

    assert key("one draft") == key("one draft")
    assert len({key("one draft"), key("another draft"), key("one draft", temperature=0.5)}) == 3
    text, other = {"type": "text", "text": "one"}, {"type": "text", "text": "two"}
    contents: list[Any] = [
        "one",
        ["one"],
        [text],
        [text, other],
        [other, text],
        [{"a": [text]}, other],
        [text, {}, other],
    ]
    contents += [[{**text, "n": 1}], [{**text, "n": "1"}], [{"type": "text", "text": None}], ["on", "e"], ["o", "ne"]]
    contents += [[{"a": []}], [{"a": "list of 0"}]]
    assert len({key(content) for content in contents}) == len(contents)
    assert key([text]) == key([{**text}])
