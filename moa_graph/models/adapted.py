"""Callers' own LangChain chat models under our settings: sampling, no streaming, no retries of their SDK's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = ["adapted"]

_LIMITS = ("max_tokens", "num_predict", "max_output_tokens", "max_tokens_to_sample", "max_completion_tokens")
"""What LangChain's model classes call the limit of an answer's tokens."""

_without: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""SDK clients of callers' own models, each with its copy that makes no retries."""


def adapted(model: BaseChatModel, wanted: dict[str, Any], *, quiet: bool) -> BaseChatModel:
    """Return a copy of `model` with our settings as far as its class has them; the caller's object does not change.

    Args:
        model: the caller's chat model.
        wanted: settings by our names; None leaves the model's own.
        quiet: the copy never streams.
    """
    fields = type(model).model_fields
    update: dict[str, Any] = {}
    for name, value in wanted.items():
        known = next((each for each in _LIMITS if each in fields), None) if name == "max_tokens" else name
        if value is not None and known in fields:
            update[known] = value
    if quiet:
        update["disable_streaming"] = True
    if "max_retries" in fields and getattr(model, "max_retries", 0) != 0:
        update["max_retries"] = 0
    update |= _clients_without_retries(model)
    return model.model_copy(update=update) if update else model


def _clients_without_retries(model: BaseChatModel) -> dict[str, Any]:
    """The model's SDK clients that retry, replaced by copies that do not and share their connections."""
    sdk: Any = getattr(model, "root_async_client", None)
    if not hasattr(sdk, "with_options") or getattr(sdk, "max_retries", 0) == 0:
        return {}
    if sdk not in _without:
        _without[sdk] = sdk.with_options(max_retries=0)
    copy = _without[sdk]
    # A client of the caller's own making stays: only the caller knows what it does.
    same = type(getattr(model, "async_client", None)) is type(copy.chat.completions)
    return {"root_async_client": copy, **({"async_client": copy.chat.completions} if same else {})}
