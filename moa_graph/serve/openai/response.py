"""Chat completions: the answer's body and its events."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from moa_graph.graph.follow import RunResult
from moa_graph.models.reply.reasoning import reasoning_in
from moa_graph.models.reply.reply import EXTRAS
from moa_graph.serve.bodies import json_bytes
from moa_graph.serve.openai.tools import OfferedTools, custom_input
from moa_graph.serve.problems import Problem
from moa_graph.serve.runs import truncated
from moa_graph.state import Usage

__all__ = ["ChatEncoder", "data_event", "extra", "finish_reason", "usage"]


def usage(total: Usage) -> dict[str, Any]:
    """Return the tokens of all calls of a run in OpenAI's form."""
    return {
        "prompt_tokens": total["input_tokens"],
        "completion_tokens": total["output_tokens"],
        "total_tokens": total["input_tokens"] + total["output_tokens"],
        "prompt_tokens_details": {"cached_tokens": total["cache_read_tokens"]},
        "completion_tokens_details": {"reasoning_tokens": total["reasoning_tokens"]},
    }


def finish_reason(result: RunResult) -> str:
    """Return OpenAI's reason for the answer's end."""
    if result.message.tool_calls:
        return "tool_calls"
    return "length" if truncated(result) else "stop"


def _tool_calls(result: RunResult, tools: OfferedTools) -> list[dict[str, Any]]:
    """Return the aggregator's tool calls in OpenAI's form, with the fields that its provider needs back unchanged."""
    extras = result.message.additional_kwargs.get(EXTRAS) or {}
    return [
        {
            "id": call["id"],
            **_called(call["name"], call["args"], tools),
            **({"extra_content": extras[call["id"]]} if call["id"] in extras else {}),
        }
        for call in result.message.tool_calls
    ]


def _called(name: str, arguments: dict[str, Any], tools: OfferedTools) -> dict[str, Any]:
    if tools.origin(name).kind == "custom":
        return {"type": "custom", "custom": {"name": name, "input": custom_input(arguments)}}
    return {"type": "function", "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}}


def extra(result: RunResult, *, drafts: bool) -> dict[str, Any]:
    """Return the field `moa` of every format: the record, and the drafts if they were requested."""
    shown = {"drafts": result.drafts, **({"notes": result.notes} if result.notes else {})}
    return {"record": result.record, **(shown if drafts else {})}


class ChatEncoder:
    """Writes one chat completion.

    Args:
        model: The mixture's name in the request.
        mixture_hash: The mixture's hash, sent as `system_fingerprint`.
        tools: The request's tools.
        include_usage: Whether to send the usage at a stream's end.
        drafts: Whether to send the drafts with the answer.
    """

    def __init__(
        self,
        model: str,
        mixture_hash: str,
        *,
        tools: OfferedTools | None = None,
        include_usage: bool = False,
        drafts: bool = False,
    ) -> None:
        self._tools, self._include_usage, self._drafts = tools or OfferedTools(), include_usage, drafts
        self._base = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": f"moa_{mixture_hash}",
        }

    def whole(self, result: RunResult) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        calls = _tool_calls(result, self._tools)
        message: dict[str, Any] = {"role": "assistant", "content": str(result.message.text) or None, "refusal": None}
        if calls:
            message |= {"tool_calls": calls, **reasoning_in(result.message)}
        elif message["content"] is None:
            message["content"] = ""
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(result)}
        body = {**self._base, "object": "chat.completion", "choices": [choice]}
        return {**body, "usage": usage(result.record["usage"]), "moa": extra(result, drafts=self._drafts)}

    def first(self) -> str:
        """Return the event that begins a stream."""
        return self._chunk({"role": "assistant", "content": ""})

    def waiting(self) -> str:
        """Return nothing: clients of this API wait as long as bytes arrive."""
        return ""

    def text(self, piece: str) -> str:
        """Return the event for a piece of text."""
        return self._chunk({"content": piece})

    def last(self, result: RunResult, *, said: bool) -> str:
        """Return the events that end a stream."""
        parts = []
        if not said and (text := str(result.message.text)):
            parts.append(self.text(text))
        if calls := _tool_calls(result, self._tools):
            pieces = [{"index": n, **call} for n, call in enumerate(calls)]
            parts.append(self._chunk({"tool_calls": pieces, **reasoning_in(result.message)}))
        parts.append(self._chunk({}, finish_reason(result), moa=extra(result, drafts=self._drafts)))
        if self._include_usage:
            parts.append(self._event([], usage=usage(result.record["usage"])))
        return "".join([*parts, "data: [DONE]\n\n"])

    def failed(self, error: Problem) -> str:
        """Return the error object that OpenAI's SDKs raise from."""
        return data_event(error.body)

    def _chunk(self, delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._event([choice], **more)

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> str:
        blank = {"usage": None} if self._include_usage else {}
        return data_event({**self._base, "object": "chat.completion.chunk", "choices": choices, **blank, **more})


def data_event(body: Any, *, name: str = "") -> str:
    """Return one server-sent event.

    Args:
        body: A JSON value.
        name: The event's name; empty for none.
    """
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json_bytes(body).decode()}\n\n"
