"""Anthropic's Messages: the answer's body and its events."""

from __future__ import annotations

import json
import uuid
from typing import Any

from moa_graph.graph.follow import RunResult
from moa_graph.serve.openai.response import data_event, extra
from moa_graph.serve.problems import Problem
from moa_graph.serve.runs import truncated
from moa_graph.state import Usage

__all__ = ["MessageEncoder"]


class MessageEncoder:
    """Writes one message.

    Args:
        model: The mixture's name in the request.
        drafts: Whether to send the drafts with the answer.
    """

    def __init__(self, model: str, *, drafts: bool = False) -> None:
        self._drafts = drafts
        self._open = False
        self._base = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant", "model": model}

    def whole(self, result: RunResult) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        text = str(result.message.text)
        said = [{"type": "text", "text": text}] if text or not result.message.tool_calls else []
        return {
            **self._base,
            "content": [*said, *_calls(result)],
            **_stop(result),
            "usage": _usage(result.record["usage"]),
            "moa": extra(result, drafts=self._drafts),
        }

    def first(self) -> str:
        """Return the event that begins a stream. The token counts are not known yet."""
        usage = {"input_tokens": 0, "output_tokens": 0}
        message: dict[str, Any] = {
            **self._base,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        return _event("message_start", message=message)

    def waiting(self) -> str:
        """Return the event by which Anthropic's API shows that it is working."""
        return _event("ping")

    def text(self, piece: str) -> str:
        """Return the events for a piece of text; the first opens the block."""
        opening = ""
        if not self._open:
            self._open = True
            opening = _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        return opening + _event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})

    def last(self, result: RunResult, *, said: bool) -> str:
        """Return the events that end a stream."""
        text, calls = str(result.message.text), _calls(result)
        events = [self.text(text)] if not said and (text or not calls) else []
        if self._open:
            events.append(_event("content_block_stop", index=0))
        for index, call in enumerate(calls, int(self._open)):
            arguments = json.dumps(call["input"], ensure_ascii=False)
            events += [
                _event("content_block_start", index=index, content_block={**call, "input": {}}),
                _event(
                    "content_block_delta",
                    index=index,
                    delta={"type": "input_json_delta", "partial_json": arguments},
                ),
                _event("content_block_stop", index=index),
            ]
        more = {"usage": _usage(result.record["usage"]), "moa": extra(result, drafts=self._drafts)}
        return "".join([*events, _event("message_delta", delta=_stop(result), **more), _event("message_stop")])

    def failed(self, error: Problem) -> str:
        """Return the event that Anthropic's SDKs raise from."""
        return data_event(error.anthropic_body, name="error")


def _event(kind: str, **fields: Any) -> str:
    return data_event({"type": kind, **fields}, name=kind)


def _calls(result: RunResult) -> list[dict[str, Any]]:
    return [
        {"type": "tool_use", "id": call["id"], "name": call["name"], "input": call["args"]}
        for call in result.message.tool_calls
    ]


def _stop(result: RunResult) -> dict[str, Any]:
    """Return why the answer ended. Only models of Anthropic's API report the text of `stop_sequences` that ended it."""
    said = result.message.response_metadata
    if result.message.tool_calls:
        reason = "tool_use"
    elif truncated(result):
        reason = "max_tokens"
    else:
        reason = "stop_sequence" if said.get("stop_reason") == "stop_sequence" else "end_turn"
    return {"stop_reason": reason, "stop_sequence": said.get("stop_sequence") if reason == "stop_sequence" else None}


def _usage(total: Usage) -> dict[str, Any]:
    """Return the tokens of all calls of a run. Anthropic counts cached input tokens apart from the others."""
    read, written, long = total["cache_read_tokens"], total["cache_write_tokens"], total.get("cache_write_1h_tokens", 0)
    lifetimes = {"ephemeral_5m_input_tokens": written - long, "ephemeral_1h_input_tokens": long}
    return {
        "input_tokens": max(total["input_tokens"] - read - written, 0),
        "output_tokens": total["output_tokens"],
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        **({"cache_creation": lifetimes} if long else {}),
    }
