"""OpenAI's chat completions on the outside, a run on the inside: pure translations."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any, NamedTuple

from moa_graph.errors import ConfigError
from moa_graph.mixture.context import BoundContext
from moa_graph.serve.openai.request import check_body
from moa_graph.serve.problems import Problem
from moa_graph.serve.runs import Result
from moa_graph.state import Usage

TO_AGGREGATOR = (
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "reasoning_effort",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
)
"""Fields of a request that shape the answer itself: the aggregator's alone. Proposers are as the mixture says."""

PER_RUN = frozenset({"layers", "prompt", "aggregator", "system", "deadline", "quorum", "grace", "min_drafts"})
"""What a client may set in the request's own object `moa`: fields of MoAContext that raise no limit on cost."""


class Asked(NamedTuple):
    """A request, understood."""

    model: str
    messages: list[Any]
    context: BoundContext
    stream: bool
    include_usage: bool
    drafts: bool


def asked(body: dict[str, Any]) -> Asked:
    """What a request asks for. Null fields count as left out, unknown ones are ignored.

    Raises:
        Problem: 400, naming the field.
    """
    fields = {name: value for name, value in body.items() if value is not None}
    if isinstance(fields.get("stop"), str):
        fields["stop"] = [fields["stop"]]
    check_body(fields)
    if fields.get("n", 1) != 1:
        raise Problem(400, "n: a mixture gives one answer; ask again for another.", param="n")
    bound = {name: fields[name] for name in TO_AGGREGATOR if name in fields and fields[name] != []}
    if "max_completion_tokens" in fields:
        bound["max_tokens"] = fields["max_completion_tokens"]
    if "tools" not in bound:
        bound = {name: value for name, value in bound.items() if name not in ("tool_choice", "parallel_tool_calls")}
    stream = fields.get("stream", False)
    return Asked(
        model=fields["model"],
        messages=[_with_content(message) for message in fields["messages"]],
        context=_context(fields.get("moa", {}), stream, bound),
        stream=stream,
        include_usage=bool(fields.get("stream_options", {}).get("include_usage")),
        drafts=bool(fields.get("moa", {}).get("drafts")),
    )


def _with_content(message: Any) -> Any:
    """OpenAI's clients may leave out the content of a turn that only calls tools."""
    return {"content": "", **message} if isinstance(message, dict) and message.get("tool_calls") else message


def _context(extras: dict[str, Any], stream: bool, bound: dict[str, Any]) -> BoundContext:
    allowed = {*PER_RUN, "drafts"}
    for name in extras:
        if name not in allowed:
            raise Problem(400, f"moa.{name}: not one of {', '.join(sorted(allowed))}.", param=f"moa.{name}")
    fields = {name: value for name, value in extras.items() if name in PER_RUN}
    try:
        return BoundContext(**fields, stream_answer=stream, bound=bound)
    except ConfigError as exc:
        raise Problem(400, str(exc), param="moa") from exc


def usage(total: Usage) -> dict[str, Any]:
    """The run's tokens, over all its calls, in OpenAI's words."""
    return {
        "prompt_tokens": total["input_tokens"],
        "completion_tokens": total["output_tokens"],
        "total_tokens": total["input_tokens"] + total["output_tokens"],
        "prompt_tokens_details": {"cached_tokens": total["cache_read_tokens"]},
        "completion_tokens_details": {"reasoning_tokens": total["reasoning_tokens"]},
    }


def finish_reason(result: Result) -> str:
    if result.message.tool_calls:
        return "tool_calls"
    return "length" if result.record["status"] == "truncated" else "stop"


def tool_calls(result: Result) -> list[dict[str, Any]]:
    """The aggregator's tool calls in OpenAI's shape."""
    return [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["args"], ensure_ascii=False)},
        }
        for call in result.message.tool_calls
    ]


class Shape:
    """Responses to one request: they share an id, a time and the mixture's name."""

    def __init__(self, request: Asked, mixture_hash: str) -> None:
        self._request = request
        self._base = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": request.model,
            "system_fingerprint": f"moa_{mixture_hash}",
        }

    def whole(self, result: Result) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        calls = tool_calls(result)
        message: dict[str, Any] = {"role": "assistant", "content": str(result.message.text) or None, "refusal": None}
        if calls:
            message["tool_calls"] = calls
        elif message["content"] is None:
            message["content"] = ""
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(result)}
        body = {**self._base, "object": "chat.completion", "choices": [choice]}
        return {**body, "usage": usage(result.record["usage"]), "moa": self._extra(result)}

    def chunk(self, delta: dict[str, Any], finish: str | None = None, **extra: Any) -> str:
        """One event of a streamed answer."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._event([choice], **extra)

    def last(self, result: Result, *, said: bool) -> str:
        """The events that end a stream; `said` when its text has been sent already."""
        parts = []
        if not said and (text := str(result.message.text)):
            parts.append(self.chunk({"content": text}))
        if calls := tool_calls(result):
            parts.append(self.chunk({"tool_calls": [{"index": n, **call} for n, call in enumerate(calls)]}))
        parts.append(self.chunk({}, finish_reason(result), moa=self._extra(result)))
        if self._request.include_usage:
            parts.append(self._event([], usage=usage(result.record["usage"])))
        return "".join([*parts, "data: [DONE]\n\n"])

    def _event(self, choices: list[dict[str, Any]], **extra: Any) -> str:
        blank = {"usage": None} if self._request.include_usage else {}
        body = {**self._base, "object": "chat.completion.chunk", "choices": choices, **blank, **extra}
        return event(body)

    def _extra(self, result: Result) -> dict[str, Any]:
        drafts = {"drafts": result.drafts} if self._request.drafts else {}
        return {"record": result.record, **drafts}


def event(body: Any) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"
