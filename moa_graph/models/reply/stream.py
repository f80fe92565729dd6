"""Join the pieces of a streamed reply.

LangChain's own joining raises when pieces change their type, adds running totals, completes arguments that were cut
off, and needs quadratic time. This one takes any pieces, in linear time; `reply.read` decides what they are worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils._merge import merge_lists

from moa_graph.models.limits import MAX_TEXT_CHARS, ReplyTooLarge
from moa_graph.models.reply.blocks import AnswerText, content_text
from moa_graph.models.reply.calls import GrowingCalls
from moa_graph.models.reply.fields import finish_of, reasons_in, usage_from
from moa_graph.models.reply.reply import Raw, raw_of
from moa_graph.state import Usage, new_usage, total_usage

__all__ = ["Pieces", "StreamEnd"]

_GROWING: Final = frozenset({"text", "thinking", "reasoning"})
"""Fields of content blocks whose pieces are joined."""
_GROWING_EXTRA: Final = frozenset({"reasoning_content", "reasoning", "refusal"})


_PROMISE: Final = frozenset({"openai", "anthropic", "google_genai"})
"""LangChain's names of protocols in which every stream ends with a reason, so that one without was cut."""

_GOING_ON: Final = ("in_progress", "queued")
"""Values of `status` that the Responses API sends in pieces that are not the last."""


class StreamEnd:
    """Detects a stream that was cut. The message that LangChain joins does not show it."""

    def __init__(self) -> None:
        self._promised = self._ended = False

    def add(self, chunk: ChatGenerationChunk) -> None:
        """Read what the chunk says about the end of the stream."""
        said = {**chunk.message.response_metadata, **(chunk.generation_info or {})}
        self._promised = self._promised or str(said.get("model_provider")) in _PROMISE
        # Anthropic's last piece has the reason, even if it is null.
        ends = any(reason not in _GOING_ON for reason in reasons_in(said))
        self._ended = self._ended or ends or "stop_reason" in said

    @property
    def broken(self) -> bool:
        """Whether a finish reason was promised and did not come."""
        return self._promised and not self._ended


class Pieces:
    """The pieces of one streamed reply so far."""

    def __init__(self) -> None:
        self._reasoned = self._goes_on = False
        self.chars = 0
        self._answer = AnswerText()
        self._content = _Content()
        self._calls = GrowingCalls()
        # The older form of a call. LangChain's Gemini class sends each call in both forms.
        self._legacy = GrowingCalls()
        self._metadata: dict[str, Any] = {}
        self._logprobs: dict[str, list[Any]] = {}
        self._extra: dict[str, Any] = {}
        self._grown: dict[str, list[str]] = {}
        self._usages: list[Usage] = []
        self._reasons: list[object] = []
        self._id: object = None

    def add(self, piece: object) -> str:
        """Add a piece and return its text, as far as it belongs to the answer.

        Raises:
            TypeError: It is not a message.
            ReplyTooLarge: The reply has too much text or too many tool calls.
        """
        raw = raw_of(piece)
        assert isinstance(piece, BaseMessage)
        text = self._answer.add(raw.content)
        self._goes_on = self._goes_on or (self._reasoned and bool(raw.content or raw.calls))
        self._content.add(raw.content)
        if isinstance(piece, AIMessageChunk):
            for call in piece.tool_call_chunks:
                self._calls.add(call.get("name"), call.get("args"), call.get("id"), call.get("index"))
        else:
            for whole in raw.calls:
                self._calls.add_whole(whole)
        self._add_extra(raw.extra)
        self._add_metadata(raw.metadata)
        if raw.usage is not None:
            self._usages.append(raw.usage)
        # The provider's id replaces one that LangChain made.
        if isinstance(raw.id, str) and (not self._id or str(self._id).startswith(("lc_", "run-"))):
            self._id = raw.id
        self.chars += len(content_text(raw.content))
        if self.chars + self._content.others + self._calls.chars + self._legacy.chars > MAX_TEXT_CHARS:
            raise ReplyTooLarge("answer", MAX_TEXT_CHARS, "characters")
        return text

    @property
    def ended(self) -> bool:
        """Whether the model has ended, so that at most the usage is still to come.

        Some proxies for Gemini send a finish reason with every piece, or before the first: such a stream ends when the
        server ends it.
        """
        if not self._reasoned or self._goes_on:
            return False
        begun = self.chars or self._content.others or self.calls_begun
        return bool(begun) or finish_of(self._reasons).status != "ok"

    @property
    def calls_begun(self) -> bool:
        """Whether there is a piece of a tool call."""
        return bool(self._calls.calls or self._legacy.calls)

    @property
    def broken(self) -> bool:
        """Whether the stream ended before the model did.

        OpenAI's protocols promise a finish reason, or a status that is an end. A stream without one was cut.
        """
        return self._metadata.get("model_provider") == "openai" and not self._reasoned

    def rest(self) -> str:
        """Return the text that was held back. Call it at the end of the stream."""
        return self._answer.rest()

    def raw(self) -> Raw:
        """Return the reply as far as it arrived."""
        extra = {**self._extra, **{name: "".join(parts) for name, parts in self._grown.items()}}
        metadata = {**self._metadata, **({"logprobs": self._logprobs} if self._logprobs else {})}
        if self._reasons:
            metadata.setdefault("finish_reason", self._reasons[-1])
        reasons = [*self._reasons, *reasons_in(_status(self._metadata))]
        calls = self._calls.joined() or self._legacy.joined()
        return Raw(self._content.joined(), calls, metadata, extra, self._usage(), reasons, self._id)

    def _add_metadata(self, given: Mapping[str, Any]) -> None:
        for key, value in given.items():
            if key == "logprobs" and isinstance(value, Mapping):
                for name, tokens in value.items():
                    if isinstance(tokens, list):
                        self._logprobs.setdefault(str(name), []).extend(tokens)
            elif value not in (None, "") and isinstance(key, str):
                self._metadata[key] = value
        self._reasons += reasons_in({key: value for key, value in given.items() if key != "status"})
        status = _status(self._metadata).get("status")
        self._reasoned = bool(self._reasons) or status in ("completed", "incomplete")

    def _add_extra(self, given: Mapping[str, Any]) -> None:
        for key, value in given.items():
            if key == "function_call" and isinstance(value, Mapping):
                self._legacy.add(value.get("name"), value.get("arguments"), None, "function_call")
            elif key in _GROWING_EXTRA and isinstance(value, str):
                self._grown.setdefault(key, []).append(value)
                self._content.others += len(value)
            elif isinstance(value, Mapping) and isinstance(before := self._extra.get(key), dict):
                before.update(value)
            elif value is not None:
                self._extra[key] = dict(value) if isinstance(value, Mapping) else value

    def _usage(self) -> Usage | None:
        """Return the whole usage. Pieces are parts of it (LangChain's rule) or running totals (OpenAI's protocol)."""
        if len(self._usages) < 2:
            return self._usages[0] if self._usages else usage_from(self._metadata.get("token_usage"))
        totals = sum(1 for usage in self._usages if usage["input_tokens"]) > 1
        if totals or self._metadata.get("model_provider") == "openai":
            counts: list[Mapping[str, Any]] = [*self._usages]
            return new_usage(**{name: max(each.get(name, 0) for each in counts) for name in Usage.__annotations__})
        return total_usage(self._usages)


def _status(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metadata.get(name) for name in ("status", "incomplete_details")}


class _Content:
    """Content in pieces: texts, and blocks that their index joins."""

    def __init__(self) -> None:
        self.others = 0
        self._parts: list[Any] = []
        self._run: tuple[Any, ...] = ()
        self._texts: list[str] = []

    def add(self, content: object) -> None:
        for block in content if isinstance(content, list) else [content]:
            if isinstance(block, str):
                if block:
                    self._grow(("str",), block)
            elif isinstance(block, Mapping):
                self._add_block(block)

    def _add_block(self, block: Mapping[str, Any]) -> None:
        field = next((name for name in _GROWING if isinstance(block.get(name), str)), None)
        if field is not None:
            self.others += 0 if field == "text" else len(block[field])
            if block.keys() <= {"type", "index", field}:
                self._grow(("block", block.get("type"), block.get("index"), field), block[field])
                return
        self._flush()
        self._parts.append(dict(block))

    def _grow(self, run: tuple[Any, ...], text: str) -> None:
        if run != self._run:
            self._flush()
            self._run = run
        self._texts.append(text)

    def _flush(self) -> None:
        if self._texts:
            text = "".join(self._texts)
            if self._run[0] == "str":
                self._parts.append(text)
            else:
                _, kind, index, field = self._run
                named = {"type": kind, "index": index}
                self._parts.append({field: text} | {name: value for name, value in named.items() if value is not None})
        self._texts, self._run = [], ()

    def joined(self) -> Any:
        self._flush()
        if all(isinstance(part, str) for part in self._parts):
            return "".join(self._parts)
        try:
            return merge_lists(*([part] for part in self._parts))
        except Exception:  # pieces of one block that do not fit together stay pieces
            return self._parts
