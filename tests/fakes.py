"""In-process fakes of chat models, and the outcome of a run with them, for tests of the graph without requests.

A `Fake` answers after `delay` seconds with the next of its `replies`; the last one repeats. A reply is a text, a
message, or an exception to raise. All copies of a fake share its `log`; the graph makes copies.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, Field

from moa_graph import Mixture, MoAError, create_moa


class ServerFault(Exception):
    """A provider's fault in the form of the SDKs: an exception with an HTTP status."""

    def __init__(self, status: int, text: str = "the server failed", headers: dict[str, str] | None = None) -> None:
        super().__init__(f"Error code: {status} - {text}")
        self.status_code = status
        self.response = type("Response", (), {"status_code": status, "headers": headers or {}})()
        self.body = {"error": {"message": text}}


@dataclass
class Sent:
    """One request: its time, its messages and its sampling options."""

    at: float
    messages: list[BaseMessage]
    temperature: float | None
    max_tokens: int | None
    streamed: bool
    cancelled: bool = False

    @property
    def text(self) -> str:
        """All messages as one text, each after its role."""
        return "\n".join(f"[{message.type}] {message.text}" for message in self.messages)


@dataclass
class Log:
    """The requests of a fake, and its remaining replies."""

    replies: list[Any] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)


class Fake(BaseChatModel):
    """A chat model in this process."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model: str
    log: Log
    delay: float = 0.0
    usage: UsageMetadata | None = None
    temperature: float | None = None
    max_tokens: int | None = Field(default=None)

    @property
    def _llm_type(self) -> str:
        return "fake"

    @property
    def sent(self) -> list[Sent]:
        """Its requests, in order."""
        return self.log.sent

    def _begin(self, messages: list[BaseMessage], *, streamed: bool) -> tuple[Sent, AIMessage]:
        sent = Sent(time.perf_counter(), messages, self.temperature, self.max_tokens, streamed)
        self.log.sent.append(sent)
        replies = self.log.replies
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, BaseException):
            raise reply
        if isinstance(reply, AIMessage):
            return sent, reply
        return sent, AIMessage(str(reply), usage_metadata=self.usage)

    async def _wait(self, sent: Sent, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            sent.cancelled = True
            raise

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        raise AssertionError("the graph calls models asynchronously")

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> ChatResult:
        sent, message = self._begin(messages, streamed=False)
        await self._wait(sent, self.delay)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        sent, message = self._begin(messages, streamed=True)
        await self._wait(sent, self.delay)
        words = message.text.split(" ")
        for place, word in enumerate(words):
            last = place == len(words) - 1
            chunk = AIMessageChunk(
                word if last else f"{word} ",
                usage_metadata=message.usage_metadata if last else None,
                chunk_position="last" if last else None,
            )
            yield ChatGenerationChunk(message=chunk)


def fake(model: str, *replies: Any, delay: float = 0.0, usage: tuple[int, int] | None = None) -> Fake:
    """Return a fake that answers "I am NAME.", or `replies` in order. `usage` is input and output tokens."""
    counted = None if usage is None else UsageMetadata(input_tokens=usage[0], output_tokens=usage[1], total_tokens=0)
    return Fake(model=model, log=Log(list(replies) or [f"I am {model}."]), delay=delay, usage=counted)


@dataclass
class Came:
    """The outcome of a run: its result or its error, its custom events and its duration."""

    result: dict[str, Any]
    error: MoAError | None
    events: list[dict[str, Any]]
    seconds: float

    @property
    def answer(self) -> str:
        return str(self.result["messages"][-1].text)

    @property
    def statuses(self) -> list[str]:
        drafts = self.error.drafts if self.error is not None and hasattr(self.error, "drafts") else None
        return [draft["status"] for draft in (self.result.get("drafts") if drafts is None else drafts)]

    def kinds(self) -> list[str]:
        """The kinds of its events, in order."""
        return [event["moa"] for event in self.events]


async def came(
    mixture: dict[str, Any], context: dict[str, Any] | None = None, *, messages: Any = "q", **options: Any
) -> Came:
    """Run a mixture once. A MoAError is a part of the outcome."""
    graph = create_moa(Mixture(**mixture), **options)
    events: list[dict[str, Any]] = []
    result: dict[str, Any] = {}
    error = None
    start = time.perf_counter()
    try:
        async for mode, part in graph.astream(
            {"messages": messages}, context=context or {}, stream_mode=["custom", "values"]
        ):
            if mode == "custom":
                events.append(part)
            else:
                result = part
    except MoAError as exc:
        error = exc
    return Came(result, error, events, time.perf_counter() - start)
