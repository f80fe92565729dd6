"""Read a provider's reply.

The message of any chat model, whole or in pieces, becomes one `Reply` of plain, checked values. Nothing here raises for
what a provider sent, and no other module reads a provider's message.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, InvalidToolCall, ToolCall

from moa_graph.models.faults.bodies import message_in
from moa_graph.models.faults.faults import Fault, Kind
from moa_graph.models.limits import MAX_ARGUMENT_CHARS, MAX_TEXT_CHARS, ReplyTooLarge
from moa_graph.models.reply.blocks import BLOCKS, content_text, has_thoughts, must_return, native, refusals_in
from moa_graph.models.reply.calls import RawCall, checked_calls
from moa_graph.models.reply.fields import (
    COSTS,
    Finish,
    finish_of,
    plain,
    reasons_in,
    stated_cost,
    usage_from,
    usage_metadata,
)
from moa_graph.models.reply.thoughts import clean
from moa_graph.models.secrets.redaction import one_line
from moa_graph.state import COUNTED, Status, Usage

__all__ = ["EXTRAS", "IN_THREAD", "THOUGHTS", "Raw", "Reply", "is_long", "raw_of", "read", "read_reply"]

IN_THREAD: Final = 2**17
"""Characters. A longer reply is read in a thread."""
_SMALL: Final = frozenset({type(None), bool, int, float})
_VALUE: Final = 32
"""Characters of text that take as long to read as one value of another type."""
_READ: Final = ("content", "calls", "args", "metadata", "extra")
"""What is read of a `Raw` and of a `RawCall`."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A provider's reply as checked values.

    Attributes:
        status: The status of the reply.
        text: The text without reasoning.
        error: Why the reply does not count or is not whole; None when it is whole.
        message: The reply as a message that any checkpointer takes. Its content is `text`, except in a turn that calls
            tools and holds blocks that the provider wants back unchanged, such as signed thoughts.
        usage: Tokens as the provider counted them, or None.
        cost: Dollars as the provider stated them, or None.
        fault: The classified fault, for the status "failed".
    """

    status: Status
    text: str
    error: str | None
    message: AIMessage
    usage: Usage | None = None
    cost: float | None = None
    fault: Fault | None = None

    @property
    def counts(self) -> bool:
        """Whether other models may see the text."""
        return self.status in COUNTED

    @property
    def model(self) -> str:
        """The model id that the provider names; empty when it names none."""
        name = self.message.response_metadata.get("model_name") or self.message.response_metadata.get("model")
        return name if isinstance(name, str) else ""

    @property
    def logprobs(self) -> dict[str, Any]:
        """Log probabilities in OpenAI's form; empty when the reply has none."""
        found = self.message.response_metadata.get("logprobs")
        return found if isinstance(found, dict) else {}


@dataclass(slots=True)
class Raw:
    """A reply as it arrived, whole or joined from its pieces. Nothing in it is checked yet."""

    content: Any = ""
    calls: list[RawCall] = field(default_factory=list)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    usage: Usage | None = None
    reasons: list[object] = field(default_factory=list)
    id: object = None


def read(raw: object, *, tools: bool = False) -> Reply:
    """Return a reply as checked values. Never raises.

    Args:
        raw: A message of any class, or a `Raw`.
        tools: Whether tools were offered, so that a reply that only calls a tool counts.
    """
    try:
        return _read(raw if isinstance(raw, Raw) else raw_of(raw), tools)
    except ReplyTooLarge as exc:
        return _malformed(str(exc), retryable=False)
    except Exception as exc:  # a reply may hold any value
        return _malformed(f"{type(exc).__name__}: {exc}")


async def read_reply(raw: Any, *, tools: bool) -> Reply:
    """Return what `read` returns. A long reply is read in a thread, so that other tasks run meanwhile."""
    return await asyncio.to_thread(read, raw, tools=tools) if is_long(raw) else read(raw, tools=tools)


def is_long(reply: object) -> bool:
    """Return whether a message, or anything in one, takes too long to read on an event loop.

    Texts and values are counted up to the limit only, so that counting itself takes little time.
    """
    left, rest = IN_THREAD, [reply]
    while rest:
        value = rest.pop()
        if type(value) in _SMALL:  # the tests of classes below take longer
            continue
        if isinstance(value, str):
            left -= len(value)
        elif isinstance(value, dict):  # first, because it is faster to test than a mapping
            left -= _VALUE * len(value)
            rest += value.values() if left >= 0 else ()
        elif isinstance(value, list | tuple):
            left -= _VALUE * len(value)
            rest += value if left >= 0 else ()
        elif isinstance(value, BaseMessage):
            rest += vars(value).values()  # pydantic takes long to say that a message has no such field
        elif isinstance(value, Raw | RawCall):
            rest += [getattr(value, name, None) for name in _READ]
        elif isinstance(value, Mapping):
            rest.append(dict(value))
        if left < 0:
            return True
    return False


def _malformed(reason: str, *, retryable: bool = True) -> Reply:
    words = one_line(f"the reply does not keep to the protocol ({reason})")
    return Reply("failed", "", words, AIMessage(""), fault=Fault("malformed", retryable, None, None, words))


def _read(raw: Raw, tools: bool) -> Reply:
    said = raw.content if isinstance(raw.content, str) else content_text(raw.content)
    if len(said) > MAX_TEXT_CHARS:
        raise ReplyTooLarge("answer", MAX_TEXT_CHARS, "characters")
    text, finish = clean(said), finish_of(raw.reasons)
    if _INVISIBLE.fullmatch(text):
        text = ""
    calls, invalid = checked_calls(raw.calls, cut=finish.status == "truncated") if raw.calls else ([], [])
    offered = calls if tools else []
    status, error, fault = _judge(raw, text, finish, offered, invalid if tools else [])
    usage = None if raw.usage and _uncounted(raw, raw.usage, said) else raw.usage
    message = AIMessage(
        content=native(raw.content) if offered and must_return(raw.content) else text,
        tool_calls=offered,
        invalid_tool_calls=invalid if tools else [],
        additional_kwargs=_extra(raw.extra) if offered else {},
        response_metadata=_metadata(raw.metadata, finish),
        id=plain(raw.id, text=200) if isinstance(raw.id, str) and raw.id else None,
        usage_metadata=usage_metadata(usage),
    )
    return Reply(status, text, error, message, usage, stated_cost(raw.metadata), fault)


def _uncounted(raw: Raw, usage: Usage, said: str) -> bool:
    """Return whether the usage has a 0 for a count that was not stated: an answer of no tokens, or to none.

    LangChain's classes of Anthropic and Gemini write 0 for a count that is missing.
    """
    answered = bool(said.strip() or raw.calls or _has_thoughts(raw))
    return answered and not (usage["input_tokens"] and usage["output_tokens"])


def _judge(
    raw: Raw, text: str, finish: Finish, calls: list[ToolCall], invalid: list[InvalidToolCall]
) -> tuple[Status, str | None, Fault | None]:
    refusal = _refusal(raw)
    if finish.status == "failed":
        return _failed(raw, finish)
    if refusal or finish.status == "refused":
        return "refused", one_line(refusal or "the model refused"), None
    if finish.status == "filtered":
        return "filtered", f"the provider's content filter stopped the answer ({one_line(finish.reason)})", None
    if not text and not calls:
        if not invalid and (given := message_in(raw.metadata.get("error"))):
            words = one_line(f"the provider sent no answer: {given}")
            return "failed", words, Fault("server", True, None, None, words)
        if not invalid:
            return "empty", _why_empty(raw, finish), None
        name = one_line(invalid[0]["name"] or "", limit=60)
        if finish.status == "truncated":
            return "empty", f"the answer was cut off in the arguments of the tool call {name}", None
        words = f"the tool call {name or 'without a name'} cannot be used: {invalid[0]['error']}"
        return "failed", words, Fault("malformed", True, None, None, words)
    if not finish.known:
        return "truncated", f"unknown finish reason: {one_line(finish.reason, limit=60)}", None
    return finish.status, None, None


def _failed(raw: Raw, finish: Finish) -> tuple[Status, str, Fault]:
    given = message_in(raw.metadata.get("error"))
    words = one_line(f"the provider ended the answer with {finish.reason!r}" + (f": {given}" if given else ""))
    kind: Kind = "malformed" if "malformed" in finish.reason.lower() or "tool" in finish.reason.lower() else "server"
    return "failed", words, Fault(kind, True, None, None, words)


def _refusal(raw: Raw) -> str:
    """Return the text of a refusal: Chat Completions and Anthropic have a field for it, Responses a content block."""
    said = [raw.extra.get("refusal")]
    details = raw.metadata.get("stop_details")
    if isinstance(details, Mapping) and details.get("type") == "refusal":
        said += [details.get("explanation"), details.get("category")]
    said += refusals_in(raw.content) if isinstance(raw.content, list) else []
    return next((words for given in said if given and (words := message_in(given))), "")


def _why_empty(raw: Raw, finish: Finish) -> str:
    if raw.calls:
        return f"it called a tool that was not offered: {one_line(str(raw.calls[0].name), limit=60)}"
    if content_text(raw.content).strip() or _has_thoughts(raw):
        cut = ", up to the limit of tokens: raise max_tokens" if finish.status == "truncated" else ""
        return f"the answer held only the model's thoughts{cut}"
    return f"the answer was empty (finish_reason {one_line(finish.reason) or 'not given'})"


def _has_thoughts(raw: Raw) -> bool:
    """Return whether the model has thought. OpenAI and Gemini show the thoughts' tokens alone."""
    counted = raw.usage is not None and raw.usage["reasoning_tokens"] > 0
    return counted or has_thoughts(raw.content) or bool(raw.extra.keys() & {"reasoning_content", "reasoning", THOUGHTS})


EXTRAS: Final = "tool_call_extras"
"""The key in a message's `additional_kwargs` for the `extra_content` of its tool calls, by their ids."""

THOUGHTS: Final = "moa_thoughts"
"""The key in `additional_kwargs` of a reply without text that says that the model has thought. LangChain drops the
thoughts."""

_NOT_KEPT: Final = frozenset({BLOCKS, THOUGHTS, "tool_calls", "function_call", "refusal", "audio", "parsed"})
"""Keys that the message holds elsewhere, or that the provider does not want back."""


def _extra(given: Mapping[str, Any]) -> dict[str, Any]:
    kept = plain({key: value for key, value in given.items() if key not in _NOT_KEPT}, text=MAX_ARGUMENT_CHARS)
    return kept if isinstance(kept, dict) else {}


_INVISIBLE: Final = re.compile(
    r"[\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0]*"
)
"""White space and characters that show nothing: a text of only these is not an answer."""


_KEY: Final = re.compile(r"[\w.-]{1,80}")


def _metadata(given: Mapping[str, Any], finish: Finish) -> dict[str, Any]:
    """Return the metadata as short plain values. Log probabilities may be long: providers send them on request only."""
    logprobs = given.get("logprobs")
    rest = {k: value for k, value in given.items() if k not in ("logprobs", COSTS) and _KEY.fullmatch(str(k))}
    kept = plain(rest, text=1000, values=500, depth=6)
    kept = kept if isinstance(kept, dict) else {}
    if isinstance(logprobs, Mapping) and isinstance(found := plain(logprobs, text=1000, values=200_000), dict):
        kept["logprobs"] = found
    if finish.reason and finish.known and "finish_reason" in kept:
        kept["finish_reason"] = plain(finish.reason, text=200)
    return kept


def raw_of(message: object) -> Raw:
    """Return a whole message as it arrived.

    Raises:
        TypeError: It is not a message.
    """
    if not isinstance(message, BaseMessage):
        raise TypeError(f"the chat model returned {type(message).__name__} instead of a message")
    metadata = message.response_metadata if isinstance(message.response_metadata, Mapping) else {}
    extra = message.additional_kwargs if isinstance(message.additional_kwargs, Mapping) else {}
    counted = getattr(message, "usage_metadata", None)
    if isinstance(counted, dict) and "total_cost" in counted:
        # LangChain writes 0 there for a reply from its cache.
        metadata = {**metadata, COSTS: [counted["total_cost"]]}
    usage = usage_from(counted, metadata.get("token_usage"), metadata.get("usage"))
    return Raw(message.content, _calls_of(message, extra), metadata, extra, usage, reasons_in(metadata), message.id)


def _calls_of(message: BaseMessage, extra: Mapping[str, Any]) -> list[RawCall]:
    if isinstance(message, AIMessageChunk) and message.tool_call_chunks:
        # LangChain's own joining completes arguments that were cut off.
        return [RawCall(each.get("name"), each.get("args"), each.get("id")) for each in message.tool_call_chunks]
    given = [*(getattr(message, "tool_calls", None) or []), *(getattr(message, "invalid_tool_calls", None) or [])]
    calls = [RawCall(each.get("name"), each.get("args"), each.get("id")) for each in given if isinstance(each, Mapping)]
    legacy = extra.get("function_call")
    if not calls and isinstance(legacy, Mapping):
        calls = [RawCall(legacy.get("name"), legacy.get("arguments"))]
    return calls
