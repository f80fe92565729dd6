"""What a caller binds to the aggregator's call, through ChatMoA or the endpoint: tools, sampling, a response format."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from langgraph.types import Overwrite

from moa_graph import models
from moa_graph.context import BoundContext, Settings
from moa_graph.errors import ConfigError
from moa_graph.mixture import Proposer
from moa_graph.state import MoAState

__all__ = ["bound_model", "bound_to", "written"]


def bound_to(run: Settings) -> BoundContext:
    """What the caller binds to the aggregator's call; nothing, mostly."""
    return run.context if isinstance(run.context, BoundContext) else BoundContext()


def bound_model(run: Settings, spec: Proposer) -> tuple[Runnable[LanguageModelInput, AIMessage], dict[str, Any]]:
    """An aggregator's model with the caller's sampling and tools, and the further options of its call.

    Raises:
        ConfigError: the model cannot be made, or its class has no tool calling.
    """
    options = dict(bound_to(run).bound)
    model = models.chat_model(
        spec,
        temperature=options.pop("temperature", run.temperature),
        max_tokens=options.pop("max_tokens", run.max_tokens),
        # Whoever binds reads tokens from our own events; without those nobody would see the model stream.
        quiet=isinstance(run.context, BoundContext) and not run.context.stream_answer,
    )
    tools, stop = options.pop("tools", None), options.pop("stop", None)
    called = {"stop": stop} if stop else {}
    if not tools:
        return model, {**options, **called}
    try:
        # The class knows how its provider wants tools, and what "any" or a name is there.
        return model.bind_tools(tools, **options), called
    except NotImplementedError:
        raise ConfigError(f"the aggregator {spec.label} cannot call tools: choose another one.") from None


def written(run: Settings, state: MoAState, answer: AIMessage) -> Any:
    """What `aggregate` writes to the messages.

    For ChatMoA and the endpoint, which hand the answer on as their own, it is written as a whole list: LangGraph shows
    single messages that a node returns in the message stream of every graph around it.
    """
    return Overwrite([*state["messages"], answer]) if isinstance(run.context, BoundContext) else [answer]
