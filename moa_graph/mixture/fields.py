"""Types of the keyword arguments of `create_moa`, `ChatMoA`, `Mixture`, `Proposer` and of a run's context.

For type checkers and editors only: the models in this package validate the values. `tests/unit/test_types.py` compares
these fields with the models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

# LangGraph requires this TypedDict below Python 3.12.
from typing_extensions import TypedDict

from moa_graph.mixture.combiner import Combiner
from moa_graph.mixture.price_overrides import Dated
from moa_graph.mixture.proposer import ModelLike, Proposer, ProposerFields

if TYPE_CHECKING:
    from langchain_core.caches import BaseCache
    from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
    from langchain_core.rate_limiters import BaseRateLimiter

ProposerLike: TypeAlias = "ModelLike | Proposer | ProposerFields | Mapping[str, Any]"
"""A proposer: a model, a `Proposer`, or its fields as a mapping."""


Form: TypeAlias = Literal["paper", "fenced"]
"""How drafts are written into a prompt; `moa_graph/graph/prompts/prompts.py` writes them."""


class GraphFields(TypedDict, total=False):
    """The fields of `Mixture` except its name."""

    proposers: Sequence[ProposerLike]
    rounds: Sequence[Sequence[ProposerLike] | Mapping[str, Any]]
    aggregator: ProposerLike
    layers: int
    prompt: Form
    system: str | None
    shuffle: bool
    sees: int | list[int | None] | None
    combine: str | Mapping[str, Any] | Combiner
    combiners: Sequence[str | Mapping[str, Any] | Combiner]
    draft_tokens: int | None
    deadline: float
    run_deadline: float | None
    quorum: int | None
    grace: float
    min_drafts: int
    fallbacks: Sequence[ProposerLike]
    on_failure: Literal["error", "best_draft"]
    max_attempts: int
    hedge: float | None
    max_cost: float | None
    max_calls: int | None
    prices: Mapping[str, Sequence[float] | Dated]
    description: str | None
    date: str | None
    source: str | None
    note: str | None


class MixtureFields(GraphFields, total=False):
    """The fields of `Mixture`."""

    name: str | None


class ChatFields(MixtureFields, total=False):
    """The fields of `ChatMoA`: those of `Mixture`, its own, and those of every LangChain chat model."""

    temperature: float | None
    max_tokens: int | None
    stop: list[str] | None
    timeout: float | None
    max_retries: int | None
    streaming: bool
    cache: BaseCache | bool | None
    verbose: bool
    callbacks: list[BaseCallbackHandler] | BaseCallbackManager | None
    tags: list[str] | None
    metadata: dict[str, Any] | None
    rate_limiter: BaseRateLimiter | None
    disable_streaming: bool | Literal["tool_calling"]
    output_version: str | None


class ContextFields(TypedDict, total=False):
    """The fields of `MoAContext`, for a context written as a mapping."""

    layers: int | None
    combine: str | None
    prompt: Form | None
    system: str | None
    aggregator: str | None
    temperature: float | None
    max_tokens: int | None
    deadline: float | None
    run_deadline: float | None
    quorum: int | None
    grace: float | None
    min_drafts: int | None
    max_cost: float | None
    max_calls: int | None
    stream_drafts: bool
    stream_answer: bool
    item: str
    repeat: int
