"""What clients send that is odd but legal, and what they need in an answer."""

import base64
import json
from urllib.parse import urljoin

import pytest

from moa_graph.serve.access import Policy
from tests.serve.test_guard import status as answered
from tests.serve.test_openai_errors import ASK, TOOL, post
from tests.serving import Served, mixture

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


@pytest.mark.parametrize(
    "turns",
    [
        [{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1"}],
        [{"role": "assistant"}, *ASK],
    ],
)
def test_clients_in_go_leave_an_empty_content_out(served, turns):
    status, answer = post(served, {"model": "good", "messages": [*ASK, *turns]})
    assert status == 200, answer


def test_a_question_without_content_is_still_refused(served, provider):
    status, answer = post(served, {"model": "good", "messages": [{"role": "user"}]})
    assert status == 400 and "messages[0].content: missing" in answer["error"]["message"]
    assert provider.requests() == []


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/chat/completions", {"messages": ASK, "stop": ["", "#"]}),
        ("/v1/completions", {"prompt": "x", "stop": ["", "#"]}),
        ("/v1/messages", {"messages": ASK, "max_tokens": 9, "stop_sequences": ["", "#"]}),
    ],
)
@pytest.mark.parametrize("texts", [["", "#"], [""], ""])
def test_an_empty_stop_text_is_none(served, provider, path, fields, texts):
    """Providers refuse it, after the drafts are paid for."""
    name = "stop_sequences" if "stop_sequences" in fields else "stop"
    status, answer = post(served, {"model": "good", **fields, name: texts}, path=path)
    assert status == 200, answer
    assert provider.requests()[-1].json.get("stop") == (["#"] if len(texts) == 2 else None)


@pytest.mark.parametrize("kind", ["text", "output_text", "input_text"])
def test_the_text_parts_of_an_earlier_answer_are_its_text(served, provider, kind):
    """Clients of both OpenAI APIs send the parts of one to the other. The answer was lost without a word."""
    for calls in ([], [CALL]):
        said = {"role": "assistant", "content": [{"type": kind, "text": "It was wet."}], "tool_calls": calls}
        behind = [{"role": "tool", "tool_call_id": "c1", "content": "12"}] if calls else ASK
        tools = [TOOL] if calls else []
        status, _ = post(served, {"model": "good", "messages": [*ASK, said, *behind], "tools": tools})
        sent = json.dumps(provider.requests()[-1].json["messages"])
        assert status == 200 and "It was wet." in sent and "put_text" not in sent


@pytest.mark.parametrize(("mode", "sent"), [("auto", "auto"), ("none", "none"), ("any", "required")])
def test_a_mode_of_tools_may_be_an_object(served, provider, mode, sent):
    """As Cursor sends it, for models that it takes for Anthropic's."""
    body = {"model": "tools", "messages": ASK, "tools": [TOOL], "tool_choice": {"type": mode}}
    status, answer = post(served, body)
    assert status == 200, answer
    assert provider.requests()[-1].json.get("tool_choice", "auto") == sent


def test_a_result_that_codex_itself_wrote_has_a_name_and_no_call(served, provider):
    result = {"type": "function_call_output", "id": "fco_1", "name": "automation_update", "output": "Daily brief"}
    asked = [{"role": "user", "content": "Go on."}]
    status, answer = post(served, {"model": "good", "input": [result, *asked]}, path="/v1/responses")
    assert status == 200, answer
    sent = json.dumps(provider.requests()[-1].json["messages"])
    assert "[Result of the tool automation_update]" in sent and "Daily brief" in sent


def test_the_summary_of_a_compacted_conversation_is_read(served, provider):
    summary = {"type": "compaction", "content": "They talked about the weather.", "signature": "s"}
    turns = [{"role": "assistant", "content": [summary]}, *ASK]
    status, _ = post(served, {"model": "good", "max_tokens": 9, "messages": turns}, path="/v1/messages")
    assert status == 200 and "They talked about the weather." in json.dumps(provider.requests()[-1].json["messages"])


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("originator", "status"), [("codex_exec", 400), ("Codex Desktop", 400), ("another", 424), (None, 424)]
)
def test_codex_which_repeats_every_other_status_gets_a_400(served, path, stream, originator, status):
    body = {"model": "noagg", "input": "x", "messages": ASK, "stream": stream}
    got, answer = post(served, body, path=path, headers={"originator": originator} if originator else {})
    assert got == status and answer["error"]["code"] == "aggregation_failed" and answer["moa"]["drafts"]


@pytest.mark.parametrize(
    "path", ["/chat/completions", "/models", "//v1/models", "/.well-known/oauth-authorization-server"]
)
def test_a_base_url_without_v1_is_told_what_is_missing(served, path):
    status, answer = post(served, {"model": "good", "messages": ASK}, path=path)
    assert status == 404 and answer["error"]["code"] == "unknown_url" and "ends in /v1" in answer["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/v1/messages", "/v1/v1/chat/completions"])
def test_a_base_url_with_one_v1_too_many_is_told_so(served, path):
    status, answer = post(served, {"model": "good", "messages": ASK, "max_tokens": 9}, path=path)
    assert status == 404 and "OpenAI's clients has one /v1, that of Anthropic's none" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ({"filename": "notes.txt", "file_data": base64.b64encode(b"The sky is blue.").decode()}, "The sky is blue."),
        ({"file_data": "JVBERi0xLjQKJSVFT0YK"}, "application/pdf"),
    ],
)
def test_a_file_without_a_media_type_has_that_of_its_name(served, provider, file, kind):
    content = [{"type": "input_text", "text": "What is it?"}, {"type": "input_file", **file}]
    status, _ = post(served, {"model": "good", "input": [{"role": "user", "content": content}]}, path="/v1/responses")
    assert status == 200 and kind in json.dumps(provider.requests()[-1].json["messages"])


def test_pages_of_apps_may_be_allowed_by_their_origin(served, provider_server):
    assert answered(served, Origin="file://")[0] == 403
    good = {"good": mixture(provider_server, "one", aggregator="agg")}
    policy = Policy.from_environment({"MOA_SERVE_ORIGINS": "file://, app://obsidian.md/, null"}.get)
    with Served(good, policy) as server:
        for origin in ("file://", "app://obsidian.md", "null"):
            status, headers = answered(server, Origin=origin)
            assert (status, headers["access-control-allow-origin"]) == (200, origin)


def test_the_root_leads_to_the_page_also_below_a_path_of_a_proxy(served):
    got, headers = answered(served, path="/")
    assert got == 307 and urljoin("https://example.com/tools/", headers["location"]) == "https://example.com/tools/moa"
