"""`POST /moa/run` with drafts: the aggregator, or one proposer and then the aggregator, reads those of the request."""

import json
import urllib.error
import urllib.request

import pytest

ASK = [{"role": "user", "content": "Why?"}]


def post(served, body):
    """Status and body of a request; the events of a run are a list."""
    request = urllib.request.Request(
        f"{served.url}/moa/run", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            lines = answer.read().decode().splitlines()
            return answer.status, [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    except urllib.error.HTTPError as exc:
        return exc.code, json.loads(exc.read())


@pytest.fixture
def before(served):
    """The last event of a whole run, with its drafts."""
    return post(served, {"mixture": "prompt", "messages": ASK})[1][-1]


def test_only_the_aggregator_is_called(served, provider, before):
    provider.reset()
    drafts = [{**draft, "text": draft["text"] + " edited"} for draft in before["drafts"]]
    status, events = post(served, {"mixture": "prompt", "messages": ASK, "drafts": drafts})
    assert status == 200 and [r.model for r in provider.requests()] == ["agg-prompt"]
    kinds = list(dict.fromkeys(event["moa"] for event in events))
    assert kinds == ["aggregating", "answer_token", "finished", "answer"]
    sent = json.dumps(provider.requests()[0].json)
    assert "draft one edited" in sent and "draft two edited" in sent
    assert events[-1]["record"]["calls"] == 3 and events[-1]["drafts"] == drafts


def test_a_draft_that_a_person_dropped_is_not_shown(served, provider, before):
    provider.reset()
    drafts = [{**draft, "status": "dropped" if draft["slot"] == 0 else "ok"} for draft in before["drafts"]]
    _, events = post(served, {"mixture": "prompt", "messages": ASK, "drafts": drafts})
    sent = json.dumps(provider.requests()[0].json)
    assert "draft two" in sent and "draft one" not in sent
    assert [slot["slot"] for slot in events[-1]["record"]["unused"]] == [0]


def test_one_proposer_is_asked_again(served, provider, before):
    """The aggregator reads the new draft and the kept one."""
    provider.reset()
    drafts = [{**draft, "text": draft["text"] + " edited"} for draft in before["drafts"]]
    wanted = {"layer": 1, "slot": 1}
    status, events = post(served, {"mixture": "prompt", "messages": ASK, "drafts": drafts, "retry": wanted})
    kinds = list(dict.fromkeys(event["moa"] for event in events))
    assert status == 200 and kinds[0] == "draft_started" and kinds[-3:] == ["answer_token", "finished", "answer"]
    assert [r.model for r in provider.requests()][-1] == "agg-prompt" and len(provider.requests()) == 2
    sent = json.dumps(provider.requests("agg-prompt")[0].json)
    assert "draft one edited" in sent and "draft two" in sent and "draft two edited" not in sent
    assert [(d["slot"], d["status"]) for d in events[-1]["drafts"]] == [(0, "ok"), (1, "ok")]
    assert events[-1]["record"]["calls"] == 3


def test_the_only_draft_is_asked_for_again(served, provider, before):
    """Where no draft counts, a new one can still be made."""
    lost = [{**draft, "status": "failed", "text": ""} for draft in before["drafts"]]
    body = {"mixture": "prompt", "messages": ASK, "drafts": lost, "retry": {"layer": 1, "slot": 0}}
    _, events = post(served, body)
    assert events[-1]["moa"] == "answer" and [d["status"] for d in events[-1]["drafts"]] == ["ok", "failed"]


def test_an_aggregator_that_fails_again_says_why(served, before):
    status, events = post(served, {"mixture": "noagg", "messages": ASK, "drafts": before["drafts"]})
    assert status == 200 and events[-1]["moa"] == "failed" and "500" in events[-1]["message"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"drafts": [{"text": "x"}]}, "drafts[0]"),
        ({"drafts": "x"}, "drafts"),
        ({"drafts": []}, "none of them counts"),
        ({"notes": [{"kind": "vote"}]}, "notes"),
        ({"aggregator": "openai:other"}, "aggregator"),
        ({"retry": {"layer": 1, "slot": 9}}, "layer 1 has no slot 9"),
        ({"retry": {"layer": 0, "slot": 0}}, "layer 0 has no slot 0"),
        ({"retry": {"layer": 2, "slot": 0}, "layers": 3, "drafts": []}, "no draft of layer 1 counts"),
        ({"retry": {"layer": True, "slot": 0}}, "whole numbers"),
        ({"retry": "p0"}, "whole numbers"),
    ],
    ids=["draft", "type", "none", "notes", "aggregator", "slot", "layer", "round before", "bool", "retry"],
)
def test_an_unusable_body_is_refused_before_a_request(served, provider, before, change, reason):
    provider.reset()
    status, body = post(served, {"mixture": "good", "messages": ASK, "drafts": before["drafts"], **change})
    assert status == 400 and reason in body["error"]["message"] and not provider.requests()
