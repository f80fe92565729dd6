"""What one run may change, and the settings a run ends up with."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import ConfigDict, Field

from moa_graph.errors import ConfigError
from moa_graph.mixture.combiner import Combiner, Outline, PlannedCall
from moa_graph.mixture.consistency import check_count, check_quorum
from moa_graph.mixture.fields import Form
from moa_graph.mixture.mixture import MAX_LAYERS, Mixture
from moa_graph.mixture.proposer import Proposer
from moa_graph.mixture.unknown_fields import unknown_field
from moa_graph.mixture.validation import Checked
from moa_graph.state import RunInfo
from moa_graph.state.field_errors import FieldProblem

_log = logging.getLogger("moa_graph.context")

_MOST_KEYS = 200
"""Keys of a context, those of other programs included. Each unknown one is compared with the fields."""

_HINT = {"langgraph_nodes": ["aggregate"]}


class MoAContext(Checked):
    """What one run may change; what is left out is as the mixture says. Studio shows it as a form.

    There is no field for a key, a host or a new model: a caller of a served graph chooses among the values that its
    owner set up. `aggregator` names one of the mixture's own models. `item` and `repeat` tell a ledger which question
    of a batch this is.

    Keys of other programs are ignored, and named in a warning of the logger `moa_graph.context`: frameworks such as
    CopilotKit pass their own configuration as the context. Misspelled fields, and fields of a mixture, are refused.

    Raises:
        ConfigError: A field is misspelled, of the wrong type or out of its bounds.
    """

    model_config = ConfigDict(title="MoAContext")
    called: ClassVar[str] = "context"

    @classmethod
    def _known(cls, data: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[FieldProblem]]:
        if len(data) > _MOST_KEYS:
            return {}, [FieldProblem((), f"expected at most {_MOST_KEYS} keys, got {len(data):,}.")]
        own = {key: value for key, value in data.items() if key in cls.model_fields}
        others = [key for key in data if key not in cls.model_fields]
        refused = [
            key for key in others if key in _OF_MIXTURES or key in _OF_CALLERS or _near_miss(key, cls.model_fields)
        ]
        if ignored := [key for key in others if key not in refused]:
            names = ", ".join(repr(str(key)[:60]) for key in ignored)
            _log.warning("context: ignored keys that are not fields of MoAContext: %s", names)
        return own, [FieldProblem((key,), _no_field(key, cls.model_fields)) for key in refused]

    layers: Annotated[int | None, Field(ge=1, le=MAX_LAYERS, description="Layers, the aggregator's own included.")] = (
        None
    )
    combine: Annotated[
        str | None, Field(max_length=60, description="The combiner: one of those that the mixture lists.")
    ] = None
    prompt: Annotated[Form | None, Field(description="How drafts are shown to models.")] = None
    system: Annotated[
        str | None,
        Field(
            max_length=100_000,
            description="A system prompt for every model.",
            json_schema_extra={"langgraph_type": "prompt"},
        ),
    ] = None
    aggregator: Annotated[
        str | None, Field(description="The aggregator: one of the mixture's models.", json_schema_extra=_HINT)
    ] = None
    temperature: Annotated[float | None, Field(ge=0, le=2, description="Sampling temperature of every call.")] = None
    max_tokens: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="Longest answer of every call, in tokens.")
    ] = None
    deadline: Annotated[float | None, Field(gt=0, le=86_400, description="Seconds one model call may take.")] = None
    run_deadline: Annotated[float | None, Field(gt=0, le=86_400, description="Seconds the run may take.")] = None
    quorum: Annotated[int | None, Field(ge=1, description="Counted drafts that close a round.")] = None
    grace: Annotated[float | None, Field(ge=0, le=3_600, description="Seconds to wait after the quorum.")] = None
    min_drafts: Annotated[int | None, Field(ge=0, description="Fewer counted drafts in a round end the run.")] = None
    max_cost: Annotated[float | None, Field(ge=0, description="Most dollars the run may cost.")] = None
    max_calls: Annotated[int | None, Field(ge=1, description="Most model calls of the run.")] = None
    stream_drafts: Annotated[bool, Field(description="Send proposers' tokens as custom events.")] = False
    stream_answer: Annotated[bool, Field(description="Send the answer's tokens as custom events.")] = False
    item: Annotated[str, Field(max_length=200, description="The question's id in a batch.")] = ""
    repeat: Annotated[int, Field(ge=0, le=1_000_000, description="Repetition number of the item, from 0.")] = 0


class BoundContext(MoAContext):
    """A context with what ChatMoA and the endpoint hand on to the aggregator's call.

    `bound` is tools (as OpenAI writes them), tool_choice, response_format, temperature, max_tokens, stop and further
    arguments of the call; `form` the JSON schema of the reply, which the proposers see.
    """

    checked_later: ClassVar[frozenset[str]] = frozenset({"bound", "form"})

    bound: dict[str, Any] = Field(default_factory=dict)
    form: dict[str, Any] | None = None


class Settings(NamedTuple):
    """A mixture under a context: what this run does.

    The other fields are those of `Mixture` and `MoAContext`, with the context's values where it has any.

    Attributes:
        mixture: The mixture.
        rounds: The proposer nodes of each round of drafts, in slot order: the mixture's own, then the combiner's.
        base: How many of the rounds are the mixture's own.
        combine: The combiner and its options.
        context: The context.
    """

    mixture: Mixture
    rounds: list[list[str]]
    base: int
    combine: Combiner
    prompt: Form
    system: str
    aggregator: Proposer
    temperature: float | None
    max_tokens: int | None
    deadline: float
    run_deadline: float | None
    quorum: int | None
    grace: float
    min_drafts: int
    max_cost: float | None
    max_calls: int | None
    context: MoAContext

    @property
    def layers(self) -> int:
        """Layers of the run, the aggregator's included."""
        return len(self.rounds) + 1

    @property
    def must_write(self) -> bool:
        """Whether the caller bound tools or a response format, which only the aggregator can follow."""
        asked = self.context
        return isinstance(asked, BoundContext) and bool(
            asked.form or asked.bound.get("response_format") or asked.bound.get("tools")
        )

    def planned(self, *, least: bool = False) -> list[PlannedCall]:
        """Return the calls of the run when nothing fails: the most, or the least."""
        return self._with_writer(self.combine.planned(outline, least=least) if (outline := self._outline) else [])

    def needed(self) -> list[PlannedCall]:
        """Return the fewest calls of the run when its first round is called. The caps must leave room for them."""
        return self._with_writer(self.combine.needed(outline) if (outline := self._outline) else [])

    def answering(self) -> list[PlannedCall]:
        """Return the calls that the answer takes even when nothing fails; none where a draft is the answer."""
        return [call for call in self.needed() if call.role == "aggregator"]

    @property
    def _outline(self) -> Outline | None:
        """The models of the run; None where the aggregator alone is called."""
        return self.mixture.outline(self.base + 1, self.combine, self.aggregator) if self.base else None

    def _with_writer(self, calls: list[PlannedCall]) -> list[PlannedCall]:
        """Return `calls` with the aggregator's, where they have none and it must write."""
        written = any(call.role == "aggregator" for call in calls)
        if written or (calls and not self.must_write):
            return calls
        return [*calls, PlannedCall(self.aggregator, self.layers, "aggregator", int(bool(calls)))]

    def begun(self, info: RunInfo) -> Settings:
        """Return the settings with the layers and the combiner that `begin` fixed, or that a person has edited."""
        combine = self.mixture.combiner(info["combine"])
        rounds, base = self.mixture.run_rounds(info["layers"], combine)
        combine.refuse_layers(rounds[:base])
        return self._replace(combine=combine, rounds=rounds, base=base)


def settings(mixture: Mixture, context: object) -> Settings:
    """Return the run's settings. A context that is not ours (a parent graph's, or none) changes nothing.

    Raises:
        ConfigError: The context asks for layers, an aggregator or counts that the mixture does not have, or for
            layers that its combiner cannot work with.
    """
    asked = context if isinstance(context, MoAContext) else _UNCHANGED
    layers = asked.layers or mixture.total_layers
    combine = mixture.combiner(asked.combine)
    if mixture.rounds and layers > mixture.total_layers:
        raise ConfigError(
            f"context.layers: this mixture describes {mixture.total_layers} layers; ask for at most that."
        )
    rounds, base = mixture.run_rounds(layers, combine)
    combine.refuse_layers(rounds[:base])
    sizes = [len(names) for names in rounds[:base]]

    def choose(name: str) -> Any:
        value = getattr(asked, name)
        return getattr(mixture, name) if value is None else value

    if sizes:
        check_count("context.quorum", asked.quorum, min(sizes))
        check_count("context.min_drafts", asked.min_drafts, min(sizes))
    quorum, min_drafts = choose("quorum"), choose("min_drafts")
    check_quorum("context.quorum", quorum, min_drafts)
    return Settings(
        mixture=mixture,
        rounds=rounds,
        base=base,
        combine=combine,
        prompt=choose("prompt"),
        system=choose("system") or "",
        aggregator=_aggregator(mixture, asked.aggregator),
        temperature=asked.temperature,
        max_tokens=asked.max_tokens,
        deadline=choose("deadline"),
        run_deadline=choose("run_deadline"),
        quorum=quorum,
        grace=choose("grace"),
        min_drafts=min_drafts,
        max_cost=choose("max_cost"),
        max_calls=choose("max_calls"),
        context=asked,
    )


_UNCHANGED = MoAContext()

_OF_CALLERS = frozenset({"bound", "form"})
"""Fields of BoundContext, which hold what is bound to the aggregator's call."""

_OF_MIXTURES = {*Mixture.model_fields, *Proposer.model_fields, "api_key"} - {"name"}
"""What a run cannot change; other programs have names of their own."""


def _no_field(key: str, fields: Mapping[str, Any]) -> str:
    """Return why a run cannot give a key."""
    if key in _OF_MIXTURES:
        why = "belongs to the mixture and cannot be changed by a run"
    elif key in _OF_CALLERS:
        why = "is set by ChatMoA and the endpoint, not by a caller"
    else:
        return unknown_field(key, fields)
    return f"{key!r} {why}. Fields of a run: {', '.join(fields)}."


def _near_miss(key: object, fields: Mapping[str, Any]) -> bool:
    """Return whether a key is almost the name of a field."""
    plain = str(key).lower().replace("-", "").replace("_", "")
    names = [name.replace("_", "") for name in fields]
    return bool(difflib.get_close_matches(plain, names, n=1, cutoff=0.75))


def answering_models(mixture: Mixture) -> list[Proposer]:
    """Return the models that may be a run's aggregator, the mixture's own first."""
    return [mixture.aggregator, *mixture.fallbacks, *(node.spec for node in mixture.plan.nodes)]


def _aggregator(mixture: Mixture, name: str | None) -> Proposer:
    if name is None:
        return mixture.aggregator
    models = answering_models(mixture)
    for spec in models:
        if name in (spec.label, spec.name):
            return spec
    known = ", ".join(dict.fromkeys(spec.name or spec.label for spec in models))
    raise ConfigError(f"context.aggregator: {name!r} is not a model of this mixture. Choose one of: {known}.")
