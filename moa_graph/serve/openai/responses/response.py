"""Responses: the answer's body and its events."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from moa_graph.graph.follow import RunResult
from moa_graph.serve.openai.response import data_event, extra
from moa_graph.serve.openai.tools import SEARCH, OfferedTools, custom_input
from moa_graph.serve.problems import Problem
from moa_graph.serve.runs import truncated
from moa_graph.state import Usage

__all__ = ["ResponseEncoder"]

_DEFAULTS: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "user": None,
}
"""The fields of a request that a response repeats, with their defaults."""

_LONG: dict[str, Any] = {"instructions": None, "tools": []}
"""Fields that a repeated event does not repeat."""

_STREAMED = {"function_call": "arguments", "custom_tool_call": "input"}
"""The text of an item that events of its own carry."""


class ResponseEncoder:
    """Writes one response.

    Args:
        fields: The request's fields.
        tools: The request's tools.
        drafts: Whether to send the drafts with the answer.
    """

    def __init__(self, fields: Mapping[str, Any], tools: OfferedTools, *, drafts: bool = False) -> None:
        self._tools, self._drafts = tools, drafts
        self._sequence = 0
        self._message_id = f"msg_{uuid.uuid4().hex}"
        self._said: list[str] = []
        self._base = {
            "id": f"resp_{uuid.uuid4().hex}",
            "object": "response",
            "created_at": int(time.time()),
            "model": fields["model"],
            **{name: fields.get(name, default) for name, default in _DEFAULTS.items()},
            "previous_response_id": None,
            "store": False,
            "truncation": "disabled",
        }

    def whole(self, result: RunResult) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        text = str(result.message.text)
        calls = [self._call(call) for call in result.message.tool_calls]
        cut = truncated(result)
        status = "incomplete" if cut else "completed"
        message = [self._message(text, status)] if text or not calls else []
        return {
            **self._base,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "output": [*message, *calls],
            "usage": _usage(result.record["usage"]),
            "moa": extra(result, drafts=self._drafts),
        }

    def first(self) -> str:
        """Return the events that begin a stream."""
        begun = self._unfinished("in_progress")
        return self._event("response.created", response=begun) + self._event("response.in_progress", response=begun)

    def waiting(self) -> str:
        """Return an event that says nothing new. Codex ends and repeats a stream without events for five minutes."""
        return self._event("response.in_progress", response={**self._unfinished("in_progress"), **_LONG})

    def text(self, piece: str) -> str:
        """Return the events for a piece of text; the first opens the message."""
        opening = ""
        if not self._said:
            message = {**self._message("", "in_progress"), "content": []}
            opening = self._event("response.output_item.added", output_index=0, item=message)
            opening += self._part("response.content_part.added", part=_part(""))
        self._said.append(piece)
        return opening + self._part("response.output_text.delta", delta=piece, logprobs=[])

    def last(self, result: RunResult, *, said: bool) -> str:
        """Return the events that end a stream."""
        text = str(result.message.text)
        calls = result.message.tool_calls
        events = [] if said or not (text or not calls) else [self.text(text)]
        done = self.whole(result)
        if self._said or not calls:
            whole = "".join(self._said)
            message = self._message(whole, done["status"])
            events += [
                self._part("response.output_text.done", text=whole, logprobs=[]),
                self._part("response.content_part.done", part=_part(whole)),
                self._event("response.output_item.done", output_index=0, item=message),
            ]
        offset = len(done["output"]) - len(calls)
        for place, item in enumerate(done["output"][offset:], offset):
            events.append(self._call_events(place, item))
        kind = "response.incomplete" if done["status"] == "incomplete" else "response.completed"
        return "".join([*events, self._event(kind, response=done)])

    def failed(self, error: Problem) -> str:
        """Return the event that ends a stream whose run failed."""
        # Codex repeats a request that failed with another code, up to five times, and each pays for a whole run.
        about = {"code": "invalid_prompt", "message": str(error)}
        drafts = {"moa": {"drafts": error.drafts}} if error.drafts else {}
        return self._event("response.failed", response={**self._unfinished("failed"), "error": about, **drafts})

    def _unfinished(self, status: str) -> dict[str, Any]:
        rest: dict[str, Any] = {"error": None, "incomplete_details": None, "output": [], "usage": None}
        return {**self._base, "status": status, **rest}

    def _message(self, text: str, status: str) -> dict[str, Any]:
        return {
            "id": self._message_id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [_part(text)],
        }

    def _call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        origin, unique = self._tools.origin(call["name"]), uuid.uuid4().hex
        head = {"status": "completed", "call_id": call["id"]}
        if origin.kind == SEARCH:
            about = {"execution": "client", "arguments": call["args"]}
            return {"id": f"tsc_{unique}", "type": "tool_search_call", **head, **about}
        head |= {"name": origin.name, **({"namespace": origin.namespace} if origin.namespace else {})}
        if origin.kind == "custom":
            return {"id": f"ctc_{unique}", "type": "custom_tool_call", **head, "input": custom_input(call["args"])}
        arguments = json.dumps(call["args"], ensure_ascii=False)
        return {"id": f"fc_{unique}", "type": "function_call", **head, "arguments": arguments}

    def _call_events(self, place: int, item: dict[str, Any]) -> str:
        where, name = {"output_index": place, "item_id": item["id"]}, _STREAMED.get(item["type"])
        begun = {**item, "status": "in_progress", **({name: ""} if name else {})}
        events = [self._event("response.output_item.added", output_index=place, item=begun)]
        if name:
            kind, whole = f"response.{item['type']}_{name}", item[name]
            events.append(self._event(f"{kind}.delta", **where, delta=whole))
            events.append(self._event(f"{kind}.done", **where, **{name: whole}, name=item["name"]))
        return "".join([*events, self._event("response.output_item.done", output_index=place, item=item)])

    def _part(self, kind: str, **fields: Any) -> str:
        return self._event(kind, item_id=self._message_id, output_index=0, content_index=0, **fields)

    def _event(self, kind: str, **fields: Any) -> str:
        body = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return data_event(body, name=kind)


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(total: Usage) -> dict[str, Any]:
    return {
        "input_tokens": total["input_tokens"],
        "input_tokens_details": {
            "cached_tokens": total["cache_read_tokens"],
            "cache_write_tokens": total["cache_write_tokens"],
        },
        "output_tokens": total["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": total["reasoning_tokens"]},
        "total_tokens": total["input_tokens"] + total["output_tokens"],
    }
