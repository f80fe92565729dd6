"""The same answers in the form of OpenAI's Responses API; with the faults that concern an answer's content."""

from typing import Any

import orjson

from tests.provider import render
from tests.provider.profile import parse
from tests.provider.replies import Reply, reply

_WHY = {"length": "max_output_tokens", "content_filter": "content_filter"}


def answered(asked: dict[str, Any]) -> bytes:
    """A whole HTTP response to the request's body."""
    profile = parse(asked["model"])
    if profile.status:
        return render.response(profile.status, render.error(profile.status, "loopback", "loopback_error", None))
    given = asked["input"]
    messages = [{"role": "user", "content": given}] if isinstance(given, str) else given
    chat = {"messages": messages, "max_tokens": asked.get("max_output_tokens")}
    whole = _whole(reply(profile, chat, orjson.dumps(messages), frozenset(profile.faults)))
    if not asked.get("stream"):
        return render.response(200, render.dumps(whole))
    events = b"".join(_event(number, event) for number, event in enumerate(_events(whole)))
    return render.stream_head() + render.chunk(events) + b"0\r\n\r\n"


def _whole(answer: Reply) -> dict[str, Any]:
    refusal, usage = answer.message.get("refusal"), answer.usage
    text = {"type": "output_text", "text": answer.text, "annotations": []}
    content = [{"type": "refusal", "refusal": refusal}] if refusal else [text]
    why = _WHY.get(answer.finish)
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1700000000,
        "model": answer.model,
        "status": "incomplete" if why else "completed",
        "incomplete_details": {"reason": why} if why else None,
        "error": None,
        "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage
        and {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
    }


def _events(whole: dict[str, Any]) -> list[dict[str, Any]]:
    (content,) = whole["output"][0]["content"]
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    said = (
        {"type": "response.refusal.done", **place, "refusal": content["refusal"]}
        if content["type"] == "refusal"
        else {"type": "response.output_text.delta", **place, "delta": content["text"], "logprobs": []}
    )
    begun = {"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}}
    return [begun, said, {"type": f"response.{whole['status']}", "response": whole}]


def _event(number: int, event: dict[str, Any]) -> bytes:
    data = render.dumps({**event, "sequence_number": number})
    return b"event: " + event["type"].encode() + b"\ndata: " + data + b"\n\n"
