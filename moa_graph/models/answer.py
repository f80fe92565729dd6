"""What a model's message amounts to: its text, its status, its tokens, its cost."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage

from moa_graph.models.redaction import one_line
from moa_graph.models.thoughts import clean
from moa_graph.state import Status, Usage, new_usage

__all__ = ["broken", "judge", "reported_cost", "usage_of"]

_FINISH: dict[str, Status] = {
    "length": "truncated",
    "max_tokens": "truncated",
    "MAX_TOKENS": "truncated",
    "max_output_tokens": "truncated",
    "model_context_window_exceeded": "truncated",
    "incomplete": "truncated",
    "content_filter": "filtered",
    "content_filtered": "filtered",
    "guardrail_intervened": "filtered",
    "SAFETY": "filtered",
    "PROHIBITED_CONTENT": "filtered",
    "refusal": "refused",
}


def judge(message: AIMessage, *, tools: bool = False) -> tuple[Status, str, str | None]:
    """Status, text and reason. Refused, filtered and empty answers do not count, and say why.

    `tools` says that tools were offered, so that a call without text is an answer.
    """
    text = clean(str(message.text))
    finish = _finish(message)
    status = _FINISH.get(finish, "ok")
    refusal = _refusal(message)
    if refusal or status == "refused":
        return "refused", text, one_line(str(refusal or "the model refused"))
    if status == "filtered":
        return "filtered", text, "the provider's content filter stopped the answer"
    if not text and not (tools and message.tool_calls):
        return "empty", text, _why_empty(message, finish)
    return status, text, None


def broken(message: AIMessage) -> bool:
    """Whether a stream ended before the model did.

    OpenAI's protocols promise a finish reason (Responses: a status that is an end). LangChain joins the pieces of a
    stream that stopped without one into a message like any other, which must not be passed off as whole.
    """
    given = message.response_metadata
    ended = "finish_reason" in given or given.get("status") in ("completed", "incomplete")
    return given.get("model_provider") == "openai" and not ended


def _finish(message: AIMessage) -> str:
    """Why the model stopped, in its provider's words; the Responses API says it in two places."""
    given = message.response_metadata
    for name in ("finish_reason", "stop_reason", "stopReason", "done_reason"):
        if reason := given.get(name):
            return str(reason)
    status, details = given.get("status"), given.get("incomplete_details")
    why = details.get("reason") if isinstance(details, dict) else None
    return str(why or status) if status == "incomplete" else ""


def _refusal(message: AIMessage) -> object:
    """The refusal's own words: Chat Completions has a field for them, Responses a content block."""
    blocks = message.content if isinstance(message.content, list) else []
    said = (block.get("refusal") for block in blocks if isinstance(block, dict) and block.get("type") == "refusal")
    return message.additional_kwargs.get("refusal") or next(said, None)


def _why_empty(message: AIMessage, finish: str) -> str:
    if str(message.text).strip() or message.additional_kwargs.get("reasoning_content"):
        return "the answer held only the model's thoughts"
    if message.tool_calls:
        return f"it called a tool that nobody offered: {one_line(message.tool_calls[0]['name'], limit=60)}"
    return f"the answer was empty (finish_reason {one_line(finish) or 'not given'})"


def usage_of(message: AIMessage) -> Usage | None:
    """Tokens as the provider counted them; `None` when it did not say."""
    given = message.usage_metadata
    if given is None:
        return None
    inner, outer = given.get("output_token_details") or {}, given.get("input_token_details") or {}
    return new_usage(
        given["input_tokens"],
        given["output_tokens"],
        reasoning_tokens=inner.get("reasoning") or 0,
        cache_read_tokens=outer.get("cache_read") or 0,
        cache_write_tokens=outer.get("cache_creation") or 0,
    )


def reported_cost(message: AIMessage) -> float | None:
    """Dollars, when the provider says what the call cost (as OpenRouter does)."""
    usage: Any = message.response_metadata.get("token_usage")
    cost = usage.get("cost") if isinstance(usage, dict) else None
    return float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) else None
