"""The cost of a call in traces, where LangSmith reads it: in the usage of the model's span.

LangSmith knows the prices of a few providers only. What a provider stated, a mixture's `prices` and genai-prices know
more, and the trace then shows the same cost as the run's record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackManager
from langchain_core.messages import AIMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tracers import BaseTracer
from langchain_core.tracers.base import AsyncBaseTracer

from moa_graph.costs.prices import cost_of
from moa_graph.mixture.price_overrides import Override
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.batching import active, of_batch
from moa_graph.models.reply.fields import stated_cost, usage_metadata
from moa_graph.models.reply.reply import raw_of
from moa_graph.state import Usage

__all__ = ["TRACERS", "with_traced_cost"]

TRACERS: Final = (BaseTracer, AsyncBaseTracer)
"""LangChain's tracers, for sync and for async handlers."""


def with_traced_cost(
    config: RunnableConfig, spec: Proposer | None, prices: Mapping[str, Override] | None
) -> RunnableConfig:
    """Return the config of a call, with which tracers receive the call's cost; the same config without a tracer.

    Args:
        config: The config of the call's span.
        spec: The model's description; None leaves the cost unknown.
        prices: The mixture's own prices.
    """
    manager = config.get("callbacks")
    if spec is None or not isinstance(manager, BaseCallbackManager):
        return config
    if _is_mixture(spec) or not any(isinstance(handler, TRACERS) for handler in manager.handlers):
        return config
    added = manager.copy()
    # Handlers that run inline, as tracers do, are called in their order.
    added.handlers = [_StatedCost(spec, prices), *added.handlers]
    return {**config, "callbacks": added}


def _is_mixture(spec: Proposer) -> bool:
    """Return whether the model is a mixture, whose calls have spans and costs of their own."""
    return not isinstance(spec.model, str) and spec.model._llm_type == "moa"


class _StatedCost(AsyncCallbackHandler):
    """Adds the cost to the usage in what later handlers receive. The reply itself is not changed."""

    run_inline = True

    def __init__(self, spec: Proposer, prices: Mapping[str, Override] | None) -> None:
        self._spec, self._prices = spec, prices

    async def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        """No-op. Without it LangChain would build the prompt as one text."""

    async def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Replace the messages of the result by copies whose usage states the cost."""
        for generations in response.generations:
            await self._state(generations)

    async def _state(self, generations: list[Any]) -> None:
        """State the usage and the cost of one request in the first of its replies.

        LangChain writes the usage of the request into each reply, and tracers add them up.
        """
        messages = [getattr(each, "message", None) for each in generations]
        replies = [message for message in messages if isinstance(message, AIMessage)]
        if not replies or len(replies) != len(generations):
            return
        raws = [raw_of(reply) for reply in replies]
        usage = next((raw.usage for raw in raws if raw.usage), None)
        reported = next((cost for raw in raws if (cost := stated_cost(raw.metadata)) is not None), None)
        batch = active.get() is not None and any(map(of_batch, replies))
        stated = await self._costs(usage, reported, batch=batch)
        if not stated and len(replies) == 1:
            return
        for place, reply in enumerate(replies):
            given = {**(usage_metadata(usage) or {}), **stated} if place == 0 else {}
            told = reply.model_copy(update={"usage_metadata": given or None})
            generations[place] = generations[place].model_copy(update={"message": told})

    async def _costs(self, usage: Usage | None, reported: float | None, *, batch: bool) -> dict[str, float]:
        """Return the cost in LangSmith's fields: the whole, and its parts where they are known."""
        total = await cost_of(self._spec, usage, prices=self._prices, reported=reported, batch=batch)
        if total is None:
            return {}
        if reported is not None or usage is None:
            return {"total_cost": total}
        unanswered = Usage({**usage, "output_tokens": 0, "reasoning_tokens": 0})
        sent = await cost_of(self._spec, unanswered, prices=self._prices, batch=batch)
        parts = {} if sent is None else {"input_cost": sent, "output_cost": max(total - sent, 0.0)}
        return {**parts, "total_cost": total}
