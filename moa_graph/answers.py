"""What a model's message amounts to: its text, its status, its tokens, its cost."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage

from moa_graph.conversation import clean
from moa_graph.scrub import one_line
from moa_graph.state import Status, Usage

__all__ = ["broken", "judge", "reported_cost", "usage_of"]

_FINISH: dict[str, Status] = {
    "length": "truncated",
    "max_tokens": "truncated",
    "MAX_TOKENS": "truncated",
    "content_filter": "filtered",
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
    refusal = message.additional_kwargs.get("refusal")
    if refusal or status == "refused":
        return "refused", text, one_line(str(refusal or "the model refused"))
    if status == "filtered":
        return "filtered", text, "the provider's content filter stopped the answer"
    if not text and not (tools and message.tool_calls):
        return "empty", text, _why_empty(message, finish)
    return status, text, None


def broken(message: AIMessage) -> bool:
    """Whether a stream ended before the model did.

    OpenAI's protocol promises a finish reason. LangChain joins the pieces of a stream that stopped without
    one into a message like any other, which must not be passed off as whole.
    """
    given = message.response_metadata
    return given.get("model_provider") == "openai" and not {"finish_reason", "status"} & given.keys()


def _finish(message: AIMessage) -> str:
    given = message.response_metadata
    return str(given.get("finish_reason") or given.get("stop_reason") or given.get("done_reason") or "")


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
    details = given.get("output_token_details") or {}
    return Usage(
        input_tokens=given["input_tokens"],
        output_tokens=given["output_tokens"],
        reasoning_tokens=details.get("reasoning") or 0,
    )


def reported_cost(message: AIMessage) -> float | None:
    """Dollars, when the provider says what the call cost (as OpenRouter does)."""
    usage: Any = message.response_metadata.get("token_usage")
    cost = usage.get("cost") if isinstance(usage, dict) else None
    return float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) else None
