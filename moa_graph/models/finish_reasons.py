"""How a reply ended: one table of finish reasons over all providers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from moa_graph.state import Status

__all__ = ["Finish", "finish_of", "reasons_in"]

_TABLE: Final[dict[Status, str]] = {
    "ok": """
        stop end_turn stop_sequence tool_calls tool_call tool_use function_call eos eos_token end_of_text
        end_of_turn end_of_sequence complete completed finish finished done success normal end word
        finish_reason_stop stop_token
    """,
    "truncated": """
        length max_tokens max_output_tokens max_length max_new_tokens model_length token_limit limit
        max_context_length context_length context_window model_context_window_exceeded incomplete pause_turn
        time_limit max_completion_tokens error_limit finish_reason_max_tokens truncated max_prompt_tokens
    """,
    "filtered": """
        content_filter content_filtered content_filtering contentfilter guardrail_intervened guardrail safety
        prohibited_content blocklist spii recitation language image_safety image_prohibited_content image_recitation
        error_toxic sensitive moderation blocked content_policy violation policy_violation risk
        finish_reason_safety finish_reason_recitation
    """,
    "refused": "refusal refused",
    "failed": """
        error failed failure cancelled canceled user_cancel abort aborted timeout in_progress queued
        insufficient_system_resource network_error other malformed_function_call malformed_response
        malformed_model_output malformed_tool_use unexpected_tool_call too_many_tool_calls
        missing_thought_signature image_other no_image server_error internal_error overloaded interrupted expired
    """,
}


def _key(reason: str) -> str:
    return re.sub(r"[^a-z]", "", reason.lower())


_STATUS: Final[dict[str, Status]] = {_key(word): status for status, words in _TABLE.items() for word in words.split()}
_KNOWN: Final = re.compile("|".join(sorted(_STATUS, key=len, reverse=True)))
_WORST_LAST: Final = ("ok", "truncated", "filtered", "refused", "failed")
_RESPONSES: Final = frozenset({"completed", "incomplete", "failed", "cancelled", "in_progress", "queued"})
"""What `status` says in OpenAI's Responses API."""


class Finish(NamedTuple):
    """How a reply ended.

    Attributes:
        status: "ok" when it is whole; "truncated" also for a reason that nobody here knows.
        reason: the provider's own word; empty when it gave none.
        known: whether the table knows the reason.
    """

    status: Status
    reason: str
    known: bool = True


def finish_of(reasons: Iterable[object]) -> Finish:
    """Return the worst of several reasons; "ok" without a reason when there are none."""
    found = [_finish(reason) for reason in reasons if reason not in (None, "", "null")]
    return max(found, key=lambda each: _WORST_LAST.index(each.status), default=Finish("ok", ""))


def _finish(reason: object) -> Finish:
    if not isinstance(reason, str):
        return Finish("truncated", f"of type {type(reason).__name__}", known=False)
    key = _key(reason[:200])
    if key in _STATUS:
        return Finish(_STATUS[key], reason)
    # Several chunks may each carry the reason, and LangChain joins them: "lengthlength".
    if key and not _KNOWN.sub("", key):
        parts = [_STATUS[part] for part in _KNOWN.findall(key)]
        return Finish(max(parts, key=_WORST_LAST.index), reason)
    return Finish("truncated", reason, known=False)


def reasons_in(metadata: Mapping[str, Any]) -> list[object]:
    """Return every reason in a message's metadata, under all the names that providers give it."""
    names = ("finish_reason", "stop_reason", "stopReason", "done_reason", "finishReason")
    found = [metadata.get(name) for name in names]
    status, details = metadata.get("status"), metadata.get("incomplete_details")
    why = details.get("reason") if isinstance(details, Mapping) else None
    if isinstance(status, str) and status in _RESPONSES:
        found.append(why or status)
    return [reason for reason in found if reason not in (None, "")]
