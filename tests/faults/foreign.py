"""A caller's own chat models that fail in ways in which no provider fails."""

import asyncio
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field


class Own(BaseChatModel):
    """Answers, or fails as `fault` says; `seen` has the messages it got."""

    model: str = "own"
    fault: str = ""
    text: str = "an answer of my own"
    seen: list[list[BaseMessage]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "own"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise AssertionError("the async side is used")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.seen.append(messages)
        await asyncio.sleep(0)
        if self.fault == "raises":
            raise RuntimeError("something of my own broke")
        if self.fault == "cancels":
            raise asyncio.CancelledError
        if self.fault == "unwinds":
            raise LookupError(0)
        if self.fault == "nothing":
            return ChatResult(generations=[])
        if self.fault == "hangs":
            await asyncio.sleep(3600)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.text))])
