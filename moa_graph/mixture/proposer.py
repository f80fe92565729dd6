"""One model of a mixture: which one, where it is, and how it is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, Unpack

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PrivateAttr,
    WithJsonSchema,
)

# LangGraph requires this TypedDict below Python 3.12.
from typing_extensions import TypedDict

from moa_graph.errors import ConfigError
from moa_graph.mixture.addresses import ADDRESS, is_address
from moa_graph.mixture.identity import identity
from moa_graph.mixture.params import check_params
from moa_graph.mixture.validation import Checked, collected
from moa_graph.state.value_text import given

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = [
    "MAX_NODES", "ModelLike", "Origin", "Proposer", "ProposerFields", "ProposerOptions", "Spec", "is_embedded",
    "reading",
]  # fmt: skip

MAX_NODES = 256
"""Proposer nodes of one mixture."""

MAX_SAMPLES = 64
"""Samples of one proposer."""


@dataclass(frozen=True)
class Origin:
    """Where a model's description comes from; no part of what the model is.

    Attributes:
        path: The mixture file; None for presets and for models described in Python.
        trusted: The user lets this file send any variable to any host.
    """

    path: Path | None = field(default=None, compare=False)
    trusted: bool = field(default=False, compare=False)


reading: ContextVar[Origin] = ContextVar("reading")
"""The mixture file whose fields are being validated: its models remember it."""


def _origin() -> Origin:
    return reading.get(Origin())


def _model(value: Any) -> Any:
    if isinstance(value, str):
        provider, colon, name = value.partition(":")
        if not (colon and provider and name) or (provider, name) != (provider.strip(), name.strip()):
            raise ConfigError(
                f'{given(value)} is not of the form "provider:model", without spaces around either. '
                'Write for example "openai:gpt-6.1-sol" or "local:smollm2".'
            )
        return value
    # Plain data is not a model, and LangChain is slow to import.
    if value is not None and not isinstance(value, bool | int | float | Mapping | list | tuple | date):
        from langchain_core.language_models import BaseChatModel

        if isinstance(value, BaseChatModel):
            return value
        raise ConfigError(f'expected a model as "provider:model", or a LangChain chat model, got {_kind(value)}.')
    raise ConfigError(f'expected a model as "provider:model", got {given(value)}.')


def _kind(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}: give an object of it"
    return f"an object of the class {type(value).__name__}"


def label(model: Any) -> str:
    """Return how a model is named in drafts, records and traces."""
    if isinstance(model, str):
        return model
    name = getattr(model, "model_name", None) or getattr(model, "model", None)
    return f"{type(model).__name__}:{name}" if isinstance(name, str) else type(model).__name__


def _with_host(address: str | None) -> str | None:
    if address is not None and not is_address(address):
        raise ValueError("its host or port does not exist. Write for example https://api.example.com/v1.")
    return address


Model = Annotated[
    Any,
    BeforeValidator(collected(_model)),
    PlainSerializer(label, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[^:]+:.+$"}),
]


ModelLike: TypeAlias = "str | BaseChatModel"
"""A model: "provider:model", or a LangChain chat model."""


class ProposerOptions(TypedDict, total=False):
    """The fields of `Proposer` except its model."""

    name: str | None
    base_url: str | None
    api_key_env: str | None
    temperature: float | None
    max_tokens: int | None
    system: str | None
    samples: int
    window: int | None
    max_concurrent: int | None
    one_request: bool
    params: dict[str, Any]
    plain_http: bool


class ProposerFields(ProposerOptions, total=False):
    """The fields of `Proposer`."""

    model: ModelLike


class Proposer(Checked):
    """One model and how it is called; the aggregator is described the same way.

    A field that is left out is not sent: the provider's own default holds.

    Attributes:
        model: The model as "provider:model", or a LangChain chat model.
        name: A name of its own, for node names and reports.
        base_url: The address of an OpenAI-compatible server, in ASCII: no user name, query or fragment.
        api_key_env: The variable with the key for `base_url`; the key goes to that server only.
        temperature: The sampling temperature.
        max_tokens: The most tokens of a reply.
        system: A system prompt for this model only.
        samples: That many slots of the same model.
        window: The context window in tokens.
        max_concurrent: The most requests at once to the model's host, counted over all models there that set it. A
            server that runs one model at a time needs 1.
        one_request: Whether the samples of a round share one request for that many replies (`n`), so that the prompt
            is billed once. Where the server does not take `n`, each sample is a request of its own.
        params: Further request parameters.
        plain_http: Lets a mixture file send the key over http to a public host.
    """

    called: ClassVar[str] = "proposer"

    model: Model
    name: str | None = Field(default=None, min_length=1, max_length=60)
    base_url: Annotated[str | None, AfterValidator(_with_host)] = Field(default=None, pattern=ADDRESS)
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    system: str | None = None
    samples: int = Field(default=1, ge=1, le=MAX_SAMPLES)
    window: int | None = Field(default=None, ge=16, le=100_000_000)
    max_concurrent: int | None = Field(default=None, ge=1, le=100_000)
    one_request: bool = False
    params: dict[str, Any] = Field(default_factory=dict)
    plain_http: bool = False
    _origin: Origin = PrivateAttr(default_factory=_origin)

    if TYPE_CHECKING:

        def __init__(self, model: ModelLike, **fields: Unpack[ProposerOptions]) -> None: ...

    else:

        def __init__(self, *model: Any, **fields: Any) -> None:
            if len(model) > 1 or (model and "model" in fields):
                raise ConfigError("proposer: give one model, by position or as `model`.")
            super().__init__(**({"model": model[0]} if model else {}), **fields)

    def identity(self, *, strict: bool = True) -> dict[str, Any]:
        """Return what decides which model answers, and how: plain data for keys and hashes.

        Args:
            strict: Refuse a chat model object that cannot be distinguished from another one of its class.

        Raises:
            ConfigError: With `strict`, for such an object.
        """
        model = self.model if isinstance(self.model, str) else identity(self.model, strict=strict)
        return {"model": model, "base_url": self.base_url, "params": self.params}

    @property
    def origin(self) -> Origin:
        """Where the description comes from."""
        return self._origin

    @cached_property
    def label(self) -> str:
        """The model as drafts and records name it."""
        return label(self.model)

    @cached_property
    def fingerprint(self) -> str:
        """All fields as JSON: what a model made from them is kept under."""
        return self.model_dump_json()

    @property
    def slug(self) -> str:
        """The name, or else the model's, as a part of a node's name."""
        text = self.name or self.label.partition(":")[2] or self.label
        text = text.removesuffix(".gguf").rsplit("/", 1)[-1].lower()
        return re.sub(r"[^a-z0-9]+", "-", text).strip("-")[:40] or "model"

    def _check_whole(self) -> None:
        check_params(self.params, type(self).model_fields)
        if self.api_key_env and not self.base_url:
            raise ConfigError(
                "proposer.api_key_env: is for servers given by `base_url`; "
                "a named provider's key has its own variable. Remove it, or add `base_url`."
            )


def _as_proposer(value: Any) -> Any:
    if isinstance(value, Proposer | Mapping):
        return value
    return {"model": value}


Spec = Annotated[Proposer, BeforeValidator(_as_proposer, json_schema_input_type=str | Proposer)]


def is_embedded(spec: Proposer) -> bool:
    """Return whether the model runs in this process."""
    return isinstance(spec.model, str) and spec.model.startswith("local:") and not spec.base_url
