"""What a caller binds to the aggregator's call, through ChatMoA or the endpoint: tools, sampling, a response format."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable

from moa_graph.errors import ConfigError
from moa_graph.mixture.context import BoundContext, Settings
from moa_graph.mixture.proposer import Proposer
from moa_graph.models import registry
from moa_graph.models.redaction import one_line

__all__ = ["bound_model", "bound_to"]

_NOTHING = BoundContext()


def bound_to(run: Settings) -> BoundContext:
    """What the caller binds to the aggregator's call; nothing, mostly."""
    return run.context if isinstance(run.context, BoundContext) else _NOTHING


def bound_model(run: Settings, spec: Proposer) -> tuple[Runnable[LanguageModelInput, AIMessage], dict[str, Any]]:
    """An aggregator's model with the caller's sampling and tools, and the further options of its call.

    Raises:
        ConfigError: the model cannot be made, or its class has no tool calling or does not take these tools.
    """
    options = dict(bound_to(run).bound)
    model = registry.chat_model(
        spec,
        temperature=options.pop("temperature", run.temperature),
        max_tokens=options.pop("max_tokens", run.max_tokens),
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
    except Exception as exc:
        # Each provider's package refuses a tool in a way of its own; nothing has been sent.
        raise ConfigError(f"the aggregator {spec.label} does not take these tools: {one_line(str(exc))}") from None
