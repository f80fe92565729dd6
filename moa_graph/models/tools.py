"""Options that a caller binds to the aggregator's call through ChatMoA or an endpoint: tools, sampling, format."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from inspect import signature
from typing import Any, get_args, get_type_hints

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import Runnable

from moa_graph.errors import ConfigError
from moa_graph.mixture.context import BoundContext, Settings
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer
from moa_graph.models import registry
from moa_graph.models.secrets.redaction import one_line

__all__ = ["bound_model", "bound_to"]

_NOTHING = BoundContext()

_OF_TOOLS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
"""Options that say nothing without tools. Providers refuse them there."""
_LANGCHAINS = _OF_TOOLS | {"strict", "response_format"}
"""Options that LangChain's OpenAI classes read themselves where there are tools."""


def bound_to(run: Settings) -> BoundContext:
    """Return the options that the caller bound to the aggregator; empty by default."""
    return run.context if isinstance(run.context, BoundContext) else _NOTHING


def bound_model(run: Settings, spec: Proposer) -> tuple[Runnable[LanguageModelInput, AIMessage], dict[str, Any]]:
    """Return an aggregator's model with the caller's sampling and tools, and the further options of its call.

    Raises:
        ConfigError: The model cannot be made, or its class has no tool calling, does not take these tools or options,
            or has no JSON mode.
    """
    options = dict(bound_to(run).bound)
    if not options.get("tools"):
        options = {name: value for name, value in options.items() if name not in _OF_TOOLS}
    model = registry.chat_model(
        spec,
        temperature=options.pop("temperature", run.temperature),
        max_tokens=options.pop("max_tokens", run.max_tokens),
    )
    _refuse_format(options.get("response_format"), model, spec)
    _refuse_unknown(options, model, spec)
    called = {**_format(options, model, spec), **({"stop": stop} if (stop := options.pop("stop", None)) else {})}
    tools = options.pop("tools", None)
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


def _format(options: dict[str, Any], model: BaseChatModel, spec: Proposer) -> dict[str, Any]:
    """Take the response format out of `options` and return it as an option of the call.

    LangChain's OpenAI classes have the SDK parse an answer with a format. The SDK raises for an answer that was cut or
    filtered, and for tools that are not strict. Sent as a further field of the body, the format reaches the provider
    unchanged, and the answer is read as every other one.
    """
    form = options.pop("response_format", None)
    kind: Any = getattr(model, "inner", model)
    if form is None:
        return {}
    if not hasattr(kind, "root_async_client") or "messages" not in _payload(kind, options, spec):
        # Another provider's class, or the Responses API, which has a field of its own for the format.
        return {"response_format": form}
    return {"extra_body": {**(kind.extra_body or {}), "response_format": form}}


def _refuse_format(response_format: object, model: BaseChatModel, spec: Proposer) -> None:
    """Refuse JSON mode where the model's class documents methods of structured output without it.

    Raises:
        ConfigError: The provider has no JSON mode.
    """
    if not isinstance(response_format, Mapping) or response_format.get("type") != "json_object":
        return
    try:
        # The class behind the redaction.
        kind: Any = type(getattr(model, "inner", model))
        method = get_type_hints(kind.with_structured_output).get("method")
    except NameError:
        # A class whose annotations cannot be read decides when it is called.
        return
    methods = get_args(method)
    if methods and "json_mode" not in methods:
        others = " or ".join(str(name) for name in methods)
        raise ConfigError(f"the aggregator {spec.label} has no JSON mode (response_format json_object): use {others}.")


def _refuse_unknown(options: Mapping[str, Any], model: BaseChatModel, spec: Proposer) -> None:
    """Refuse options of the call that OpenAI's SDK does not take. It would refuse them when the drafts are paid for.

    Raises:
        ConfigError: An option is unknown.
    """
    kind: Any = getattr(model, "inner", model)
    others = {name: value for name, value in options.items() if name not in _LANGCHAINS or "tools" not in options}
    if not others or not hasattr(kind, "root_async_client"):
        return
    payload = _payload(kind, others, spec)
    client = kind.root_async_client
    create = client.chat.completions.create if "messages" in payload else client.responses.create
    # A class that is derived from LangChain's may read further options itself.
    readers = (create, kind._agenerate, kind._astream)
    known = {name for reader in readers for name in signature(reader).parameters}
    if unknown := sorted(payload.keys() - known):
        near = difflib.get_close_matches(unknown[0], signature(create).parameters, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "What only its server knows goes into `extra_body`."
        if unknown[0] == "strict":
            hint = "It belongs to a tool, or into the `json_schema` of a response format."
        elif unknown[0] in Mixture.model_fields:
            hint = "It is a field of the mixture, not of a call: give it to ChatMoA."
        raise ConfigError(f"the aggregator {spec.label} does not take the option {unknown[0]!r} of a call. {hint}")


def _payload(kind: Any, options: Mapping[str, Any], spec: Proposer) -> dict[str, Any]:
    """Return the request that one of LangChain's OpenAI classes makes of the options.

    Raises:
        ConfigError: The class cannot read an option's value.
    """
    try:
        payload: dict[str, Any] = kind._get_request_payload([HumanMessage("?")], **options)
    except Exception as exc:  # LangChain reads some values before it checks them
        names = ", ".join(options)
        raise ConfigError(
            f"the aggregator {spec.label} does not take these options of a call ({names}): {one_line(str(exc))}"
        ) from None
    return payload
