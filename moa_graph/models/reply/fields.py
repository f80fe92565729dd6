"""The fields of a provider's reply as checked values: how it ended, tokens, dollars, and any plain data."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata

from moa_graph.state import Status, Usage, new_usage

__all__ = [
    "COSTS",
    "Finish",
    "encodable",
    "finish_of",
    "plain",
    "reasons_in",
    "stated_cost",
    "token_count",
    "usage_from",
    "usage_metadata",
]

_TABLE: Final[dict[Status, str]] = {
    "ok": """
        stop end_turn stop_sequence tool_calls tool_call tool_use function_call eos eos_token eos_found end_of_text
        end_of_turn end_of_sequence end_of_message complete completed finish finished done success normal end word
        stop_token stop_string_found im_end eot_id
    """,
    "truncated": """
        length max_tokens max_output_tokens max_length max_new_tokens model_length token_limit limit
        max_context_length context_length context_length_exceeded context_window context_window_exceeded
        model_context_window_exceeded incomplete pause_turn
        time_limit max_completion_tokens error_limit truncated max_prompt_tokens max_len max_context
        maximum_tokens out_of_tokens context_length_reached max_predicted_tokens_reached
    """,
    "filtered": "spii language violation risk",
    "refused": "refusal refused",
    "failed": """
        in_progress queued insufficient_system_resource other unexpected_tool_call too_many_tool_calls
        missing_thought_signature image_other no_image overloaded expired
    """,
}
_WORDS: Final[dict[Status, re.Pattern[str]]] = {
    "filtered": re.compile(
        "filter|safety|unsafe|prohibit|block|blacklist|guardrail|armor|moderation|toxic|sensitive|policy|recitation|flagged"
    ),
    "failed": re.compile("error|fail|cancel|abort|malformed|timeout|interrupt|disconnect|exception|unavailable"),
}
"""What a reason that is not in the table says by a word in it. No word makes a reply whole."""


def _key(reason: str) -> str:
    """Return a reason's letters, without prefixes such as those of Google's ``FINISH_REASON_STOP``.

    Its ``function_call_filter: MALFORMED_FUNCTION_CALL`` does not filter contents.
    """
    return re.sub(r"(?:finish|stop)reason|^reason|^functioncallfilter(?=.)", "", re.sub(r"[^a-z]", "", reason.lower()))


_STATUS: Final[dict[str, Status]] = {_key(word): status for status, words in _TABLE.items() for word in words.split()}
_KNOWN: Final = re.compile("|".join(sorted(_STATUS, key=len, reverse=True)))
_WORST_LAST: Final = ("ok", "truncated", "filtered", "refused", "failed")
_RESPONSES: Final = frozenset({"completed", "incomplete", "failed", "cancelled", "in_progress", "queued"})
"""Values of `status` in OpenAI's Responses API."""


class Finish(NamedTuple):
    """How a reply ended.

    Attributes:
        status: "ok" when the reply is whole; "truncated" also for an unknown reason.
        reason: The provider's own word; empty when it gave none.
        known: Whether the reason has a meaning here.
    """

    status: Status
    reason: str
    known: bool = True


def finish_of(reasons: Iterable[object]) -> Finish:
    """Return the worst of several reasons; "ok" without any reason."""
    found = [_finish(reason) for reason in reasons if _is_reason(reason)]
    return max(found, key=lambda each: _WORST_LAST.index(each.status), default=Finish("ok", ""))


def _finish(reason: object) -> Finish:
    if not isinstance(reason, str):
        return Finish("truncated", f"of type {type(reason).__name__}", known=False)
    status = _status_of(reason[:200])
    return Finish(status or "truncated", reason, known=status is not None)


@functools.lru_cache(maxsize=256)
def _status_of(reason: str) -> Status | None:
    """Return what a reason means; None when it has no meaning here."""
    key = _key(reason)
    if key in _STATUS:
        return _STATUS[key]
    # Several chunks may each carry the reason, and LangChain joins them: "lengthlength".
    if key and not _KNOWN.sub("", key):
        return max((_STATUS[part] for part in _KNOWN.findall(key)), key=_WORST_LAST.index)
    return next((status for status, words in _WORDS.items() if words.search(key)), None)


def _is_reason(value: object) -> bool:
    """Return whether a value is a reason: some servers send a text for null until there is one."""
    return value not in (None, "") and str(value)[:9].lower() not in ("null", "none")


def reasons_in(metadata: Mapping[str, Any]) -> list[object]:
    """Return every reason in a message's metadata, under all the names that providers give it."""
    names = ("finish_reason", "stop_reason", "stopReason", "done_reason", "finishReason")
    found = [metadata.get(name) for name in names]
    status, details = metadata.get("status"), metadata.get("incomplete_details")
    why = details.get("reason") if isinstance(details, Mapping) else None
    if isinstance(status, str) and status in _RESPONSES:
        found.append(why or status)
    found.append(_blocked(metadata.get("prompt_feedback")))
    return [reason for reason in found if _is_reason(reason)]


def _blocked(feedback: object) -> str | None:
    """Return why Gemini did not answer a prompt; None if it was not blocked. A blocked prompt has no finish reason."""
    reason = feedback.get("block_reason") if isinstance(feedback, Mapping) else None
    if not reason or "UNSPECIFIED" in str(reason):
        return None
    about = feedback.get("block_reason_message") if isinstance(feedback, Mapping) else None
    return f"prompt blocked: {getattr(reason, 'value', reason)}" + (f", {about}" if about else "")


_INPUT: Final = ("input_tokens", "prompt_tokens")
_OUTPUT: Final = ("output_tokens", "completion_tokens")


def token_count(value: object) -> int | None:
    """Return a token count as a non-negative integer below 2**53, or None. Fractions are rounded."""
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, (int, float))):
        return None
    return round(value) if 0 <= value < 2**53 else None


def usage_from(*given: object) -> Usage | None:
    """Return the first usage, in any provider's form, whose counts can be read, as checked counts; None if none can."""
    return next((usage for each in given if (usage := _usage_from(each)) is not None), None)


def _usage_from(given: object) -> Usage | None:
    if not isinstance(given, Mapping):
        return None
    sent = next((count for name in _INPUT if (count := token_count(given.get(name))) is not None), None)
    received = next((count for name in _OUTPUT if (count := token_count(given.get(name))) is not None), None)
    if sent is None or received is None:
        return None
    details = _details(given)
    cached = min(_detail(details, "cache_read", "cached_tokens"), sent)
    # Anthropic states the caches of each lifetime in place of the whole.
    short, long = (_detail(details, f"ephemeral_{time}_input_tokens") for time in ("5m", "1h"))
    written = min(max(_detail(details, "cache_creation", "cache_write_tokens"), short + long), sent - cached)
    return new_usage(
        sent,
        received,
        reasoning_tokens=min(_detail(details, "reasoning", "reasoning_tokens"), received),
        cache_read_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=min(long, written),
    )


_DETAILS: Final = ("input_token_details", "output_token_details", "prompt_tokens_details", "completion_tokens_details")


def _details(usage: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return the counts above 0 in the details of a usage, in order."""
    given = [details for key in _DETAILS if (details := usage.get(key))]
    items = [item for details in given if isinstance(details, Mapping) for item in details.items()]
    return [(name, count) for name, value in items if isinstance(name, str) and (count := token_count(value))]


def _detail(details: list[tuple[str, int]], *names: str) -> int:
    """Return the first count of a name. A service tier's name may precede the count's name."""
    return next((count for name, count in details if name.endswith(names)), 0)


def usage_metadata(usage: Usage | None) -> UsageMetadata | None:
    """Return a usage in LangChain's form."""
    if usage is None:
        return None
    details: dict[str, int] = {"cache_read": usage["cache_read_tokens"], "cache_creation": usage["cache_write_tokens"]}
    if long := usage.get("cache_write_1h_tokens"):
        # As LangChain's Anthropic class states them: the parts in place of the whole.
        short = usage["cache_write_tokens"] - long
        details |= {"cache_creation": 0, "ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long}
    return UsageMetadata(
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        total_tokens=usage["input_tokens"] + usage["output_tokens"],
        input_token_details=InputTokenDetails(**details),  # type: ignore[typeddict-item]  # it takes further names
        output_token_details=OutputTokenDetails(reasoning=usage["reasoning_tokens"]),
    )


COSTS: Final = "moa_costs"
"""The key in a message's metadata for the dollars that the provider stated, where LangChain would lose them. A stream
may state a running total several times; the last one counts."""


def stated_cost(metadata: Mapping[str, Any]) -> float | None:
    """Return the dollars that the provider says the call cost (as OpenRouter does), or None.

    A mixture within a mixture says it in its record.
    """
    usage = metadata.get("token_usage") or metadata.get("usage")
    places = (metadata, metadata.get("token_usage"), metadata.get("usage"), metadata.get("record"))
    found = [place for place in places if place and isinstance(place, (dict, Mapping)) and "cost" in place]
    kept = metadata.get(COSTS)
    if not found and kept is None:
        return _cost_beside(usage) if usage else None
    costs = [*(kept[-1:] if isinstance(kept, list) else []), *map(_cost_in, found)]
    return next((dollars for cost in costs if (dollars := _dollars(cost)) is not None), None)


def _cost_beside(usage: object) -> float | None:
    """Return the cost that a usage states under another name than `cost`, as DeepInfra and xAI do."""
    if not isinstance(usage, (dict, Mapping)) or not ("cost_in_usd_ticks" in usage or "estimated_cost" in usage):
        return None
    ticks = _dollars(usage.get("cost_in_usd_ticks"), most=1e19)
    return _dollars(usage.get("estimated_cost")) if ticks is None else ticks / _TICKS


_TICKS: Final = 1e10
"""xAI's parts of a dollar."""


def _cost_in(usage: Mapping[str, Any]) -> float | None:
    """Return the cost that a usage states. `total_cost` is Perplexity's."""
    cost = usage["cost"]
    dollars = _dollars(cost.get("total_cost") if isinstance(cost, dict) else cost)
    if dollars is None or usage.get("is_byok") is not True:
        return dollars
    # With a key of the user's own, OpenRouter's cost is its fee alone. The provider bills the rest.
    details = usage.get("cost_details")
    rest = _dollars(details.get("upstream_inference_cost")) if isinstance(details, Mapping) else None
    return None if rest is None else dollars + rest


def _dollars(cost: object, *, most: float = 1e9) -> float | None:
    if isinstance(cost, (int, float)) and not isinstance(cost, bool) and 0 <= cost < most and math.isfinite(cost):
        return float(cost)
    return None


class _TooMuch(Exception):
    """A value is nested too deeply, or holds too many values."""


def plain(value: object, *, text: int = 1000, values: int = 10_000, depth: int = 20) -> Any:
    """Return `value` as JSON, every checkpointer and every ledger can hold it, or None when it is too large.

    Integers that 64 bits cannot hold become text, those of more than a thousand bits and numbers that are not finite
    None; lone surrogates are replaced; objects of other types become their text.

    Args:
        value: Any value.
        text: Characters that a text may have; the rest is cut.
        values: Values that there may be in all.
        depth: Levels of nesting that there may be.
    """
    try:
        return _Plain(text, values).of(value, depth)
    except _TooMuch:
        return None


class _Plain:
    def __init__(self, text: int, values: int) -> None:
        self._text = text
        self._left = values

    def of(self, value: object, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth < 0:
            raise _TooMuch
        if isinstance(value, str):
            return encodable(value[: self._text])
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            if -(2**63) <= value < 2**63:
                return int(value)
            # For a tool's argument, such as an amount or an id of 256 bits, None would be another value.
            return self._shown(value) if value.bit_length() <= 1000 else None
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        if isinstance(value, (dict, Mapping)):  # `dict` first, because it is faster to test
            return {encodable(str(key)[:200]): self.of(each, depth - 1) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(each, depth - 1) for each in value]
        return self._shown(value)

    def _shown(self, value: object) -> str:
        try:
            return encodable(str(value)[: self._text])
        except Exception:  # a foreign object's own method may raise anything
            return type(value).__name__


def encodable(text: str) -> str:
    """Return `text` as it can be sent and stored: lone surrogates become U+FFFD, NUL characters are removed."""
    if "\0" in text:  # `replace` copies a text of any length, also where there is nothing to replace
        text = text.replace("\0", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub(_characters, text)
    return text


def _characters(surrogates: re.Match[str]) -> str:
    return _LONE.sub("\ufffd", surrogates[0]).encode("utf-16", "surrogatepass").decode("utf-16")


_SURROGATES: Final = re.compile("(?:[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]){1,10000}")
"""Surrogates that are read at once, in 2 ms. Other threads, and with them the event loop, wait meanwhile."""
_LONE: Final = re.compile("(?<![\ud800-\udbff])[\udc00-\udfff]|[\ud800-\udbff](?![\udc00-\udfff])")
