"""A chat model whose run ends in traces when its call is cancelled.

LangChain reports the end of a cancelled stream, and not that of a cancelled `ainvoke`: tracers would show its run as
running for ever, and keep it in memory. Quorums, deadlines and hedges cancel calls in ordinary runs.
"""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult

from moa_graph.models.faults.faults import own_cancellation

__all__ = ["EndsCancelledRuns"]


class EndsCancelledRuns(BaseChatModel):
    """Reports cancelled calls to its callbacks."""

    async def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        # The method between LangChain's callbacks and a model, streamed or not. It is private: should it be renamed,
        # runs stay open again, and nothing else changes.
        try:
            return await super()._agenerate_with_cache(messages, stop=stop, run_manager=run_manager, **kwargs)
        except asyncio.CancelledError as exc:
            if run_manager is not None and not own_cancellation():
                # A new exception: traces would show the frames of this one.
                reasons = [reason for reason in exc.args if isinstance(reason, str)]
                await run_manager.on_llm_error(asyncio.CancelledError(*reasons))
            raise
