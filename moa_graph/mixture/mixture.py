"""A mixture, described once: the models, the layers, the prompt, and what a run may cost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Unpack

from pydantic import BeforeValidator, Field, model_validator

from moa_graph.errors import ConfigError
from moa_graph.mixture.combiner import Combiner, Outline, PlannedCall, writing
from moa_graph.mixture.combiners import AnyCombiner, Synthesize
from moa_graph.mixture.consistency import (
    check_combiners,
    check_count,
    check_nodes,
    check_quorum,
    check_rounds,
    check_sees,
)
from moa_graph.mixture.fields import Form, MixtureFields
from moa_graph.mixture.hashing import hash_of
from moa_graph.mixture.loading import from_file
from moa_graph.mixture.plan import Plan, plan_of, split_rounds
from moa_graph.mixture.price_overrides import Price, checked_prices
from moa_graph.mixture.proposer import Proposer, Spec
from moa_graph.mixture.validation import Checked, as_list, check_all, collected
from moa_graph.state.value_text import given as shown

__all__ = ["MAX_LAYERS", "Mixture"]

MAX_LAYERS = 10
"""More than any published mixture uses; a bound on what one request may cost."""


def _day(value: Any) -> Any:
    # YAML and TOML make a date of a text that looks like one.
    return value.isoformat() if isinstance(value, date) else value


Round = Annotated[list[Spec], BeforeValidator(as_list), Field(min_length=1)]


class Mixture(Checked):
    """A whole mixture: proposers, layers, aggregator, prompt and limits.

    Give `proposers` (the same in every round) with `layers`, or `rounds`, a list of proposer lists. `layers` counts as
    the paper does, the aggregator's own included. Times are in seconds, costs in dollars.

    Attributes:
        proposers: The proposers of every round.
        rounds: The proposers of each round, where rounds differ. A round may be `{proposers: [...], sees: k}`.
        aggregator: The model that writes the answer.
        layers: Rounds of proposers plus one.
        prompt: `fenced` sends drafts last, between boundaries; `paper` sends the published prompt.
        system: A system prompt for every model.
        shuffle: Whether drafts are shown in a random order.
        sees: How many drafts of the round before a slot is shown; all by default.
        combine: How the answer is made from the drafts: a combiner's name, or its name and options.
        combiners: Further combiners, among which a run's context may choose.
        draft_tokens: Cuts every draft that other models are shown.
        deadline: The most seconds of one model call.
        run_deadline: The most seconds of a run.
        quorum: Closes a round at that many counted drafts, `grace` seconds later.
        grace: Seconds between the quorum and the end of its round.
        min_drafts: Fewer counted drafts in a round end the run with an error.
        fallbacks: Models that are called in order when the aggregator fails.
        on_failure: When they all fail: `error` raises; `best_draft` returns the draft most alike to the others, marked
            as such.
        max_attempts: Requests of one call, the first included.
        hedge: Seconds after which a second request is sent beside one that has not answered.
        max_cost: The most dollars of a run.
        max_calls: The most model calls of a run.
        prices: Dollars per million tokens, as `{"provider:model": [input, output]}` or
            `{"input": ..., "output": ..., "date": ...}`; they replace the price list's.
        name: The mixture's name.
        description: What it is for.
        date: When its models were chosen.
        source: Where it comes from.
        note: What to know before using it.
    """

    proposers: Annotated[list[Spec], BeforeValidator(as_list)] = Field(default_factory=list)
    rounds: Annotated[list[Round], BeforeValidator(as_list)] = Field(default_factory=list)
    aggregator: Spec
    layers: int = Field(default=2, ge=1, le=MAX_LAYERS)
    prompt: Form = "fenced"
    system: str | None = None
    shuffle: bool = False
    sees: Annotated[int, Field(ge=1)] | list[Annotated[int, Field(ge=1)] | None] | None = None
    combine: AnyCombiner = Synthesize()
    combiners: Annotated[list[AnyCombiner], BeforeValidator(as_list)] = Field(default_factory=list)
    draft_tokens: int | None = Field(default=None, ge=16)
    deadline: float = Field(default=120.0, gt=0, le=86_400)
    run_deadline: float | None = Field(default=None, gt=0, le=86_400)
    quorum: int | None = Field(default=None, ge=1)
    grace: float = Field(default=0.0, ge=0, le=3_600)
    min_drafts: int = Field(default=1, ge=0)
    fallbacks: Annotated[list[Spec], BeforeValidator(as_list)] = Field(default_factory=list)
    on_failure: Literal["error", "best_draft"] = "error"
    max_attempts: int = Field(default=3, ge=1, le=10)
    hedge: float | None = Field(default=None, gt=0)
    max_cost: float | None = Field(default=None, ge=0)
    max_calls: int | None = Field(default=None, ge=1)
    prices: Annotated[dict[str, Price], BeforeValidator(collected(checked_prices))] = Field(default_factory=dict)
    name: str | None = Field(default=None, min_length=1)
    description: str | None = None
    date: Annotated[str | None, BeforeValidator(_day, json_schema_input_type=str | None)] = None
    source: str | None = None
    note: str | None = None

    if TYPE_CHECKING:
        # pydantic derives the arguments' types from the validated values: models by name would be type errors.
        def __init__(self, **fields: Unpack[MixtureFields]) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _split_rounds(cls, data: Any) -> Any:
        return split_rounds(data)

    def _check_whole(self) -> None:
        layers = self.layers if "layers" in self.model_fields_set else None
        check_rounds(self.proposers, self.rounds, layers=layers, most=MAX_LAYERS)
        specs = self.plan.specs
        rounds = [[specs[name] for name in self.round_nodes(layer)] for layer in range(1, self.total_layers)]
        smallest = min(map(len, self.plan.rounds))
        checks = (
            partial(check_count, "mixture.quorum", self.quorum, smallest),
            partial(check_count, "mixture.min_drafts", self.min_drafts, smallest),
            partial(check_quorum, "mixture.quorum", self.quorum, self.min_drafts),
            partial(check_nodes, self.plan),
            partial(check_combiners, [self.combine, *self.combiners], rounds),
            partial(check_sees, rounds, self.sees),
        )
        check_all(type(self), checks)

    @cached_property
    def plan(self) -> Plan:
        """The proposer nodes, and the node names of each of the mixture's own rounds in slot order."""
        nodes, rounds = self._rosters
        return Plan(nodes, rounds[: len(self.rounds) or 1])

    @property
    def rosters(self) -> dict[str, list[str]]:
        """The node names of the rounds that only a combiner runs, by the combiner's name."""
        own = [each.name for each in self.choices.values() if each.roster]
        return dict(zip(own, self._rosters.rounds[len(self.rounds) or 1 :], strict=True))

    @cached_property
    def _rosters(self) -> Plan:
        rosters = [each.roster for each in self.choices.values() if each.roster]
        return plan_of([*(self.rounds or [self.proposers]), *rosters])

    @property
    def total_layers(self) -> int:
        """Layers, the aggregator's included."""
        return len(self.rounds) + 1 if self.rounds else self.layers

    def round_nodes(self, layer: int) -> list[str]:
        """Return the node names of a round in slot order.

        Args:
            layer: The layer, from 1.
        """
        return self.plan.rounds[layer - 1 if self.rounds else 0]

    @cached_property
    def choices(self) -> dict[str, Combiner]:
        """The combiners that a run may use, by name; the mixture's own first."""
        return {each.name: each for each in (self.combine, *self.combiners)}

    def combiner(self, name: str | None) -> Combiner:
        """Return a combiner of the mixture.

        Args:
            name: The combiner's name; None for the mixture's own.

        Raises:
            ConfigError: The mixture does not list it.
        """
        if name is not None and name not in self.choices:
            raise ConfigError(
                f"context.combine: {name!r} is not one of this mixture's combiners. "
                f"Choose one of: {', '.join(self.choices)}, or list it in the mixture's `combiners`."
            )
        return self.choices[name] if name is not None else self.combine

    def run_rounds(self, layers: int, combine: Combiner) -> tuple[list[list[str]], int]:
        """Return the rounds of a run as node names in slot order, and how many of them are the mixture's own.

        Args:
            layers: Layers without the combiner's rounds, the aggregator's included.
            combine: The combiner, which may add rounds.
        """
        base = [self.round_nodes(layer) for layer in range(1, combine.base_layers(layers))]
        extra = combine.extra_rounds(base, self.rosters.get(combine.name, []))
        return [*base, *(extra if base else [])], len(base)

    def seen(self, layer: int) -> int | None:
        """Return how many drafts of the round before a slot is shown; None means all.

        Args:
            layer: The slot's layer, from 1.
        """
        return self.sees[layer - 1] if isinstance(self.sees, list) else self.sees

    def planned(
        self, layers: int | None = None, combine: str | None = None, *, least: bool = False
    ) -> list[PlannedCall]:
        """Return the model calls of one question when nothing fails.

        Args:
            layers: Layers, the aggregator's included; the mixture's by default.
            combine: The combiner's name; the mixture's own by default.
            least: Whether the fewest calls are wanted, or the most.
        """
        chosen = self.combiner(combine)
        outline = self.outline(layers or self.total_layers, chosen, self.aggregator)
        return chosen.planned(outline, least=least) if outline.base else [writing(outline, 0)]

    def outline(self, layers: int, combine: Combiner, aggregator: Proposer) -> Outline:
        """Return the models of a run.

        Args:
            layers: Layers without the combiner's rounds, the aggregator's included.
            combine: The combiner.
            aggregator: Who writes the answer.
        """
        names, base = self.run_rounds(layers, combine)
        specs = self.plan.specs
        rounds = [[specs[name] for name in each] for each in names]
        sees = [self.seen(layer) for layer in range(1, base + 1)]
        return Outline(rounds[:base], rounds[base:], aggregator, sees)

    def calls(self, layers: int | None = None, combine: str | None = None, *, least: bool = False) -> int:
        """Return how many model calls one question makes when nothing fails.

        Args:
            layers: Layers, the aggregator's included; the mixture's by default.
            combine: The combiner's name; the mixture's own by default.
            least: Whether the fewest calls are wanted, or the most.

        Raises:
            ConfigError: The mixture does not list the combiner.
        """
        return len(self.planned(layers, combine, least=least))

    def steps(self) -> int:
        """Return the most steps that a run of the graph can take."""
        own = max(2 * each.stages + 2 * len(self.run_rounds(2, each)[0]) for each in self.choices.values())
        batched = any(hasattr(each, "batch") for each in self.choices.values())
        return own + (2 * sum(map(len, self.plan.rounds)) if batched else 0)

    @property
    def specs(self) -> list[Proposer]:
        """Every model of the mixture: proposers, aggregator, fallbacks, and those of combiners."""
        own = [spec for each in self.choices.values() for spec in each.specs]
        return [*(node.spec for node in self.plan.nodes), self.aggregator, *self.fallbacks, *own]

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits over all that decides the answers; limits, prices and descriptions are left out."""
        # Left out where they are not used, so that ledgers of mixtures without them stay valid.
        unused: dict[str, Any] = {"sees": None, "combine": Synthesize(), "combiners": []}
        return hash_of(self, self.specs, unused)

    def changed(self, **fields: Unpack[MixtureFields]) -> Mixture:
        """Return a copy with other fields, validated as a whole.

        Args:
            **fields: Fields of `Mixture`. `rounds` replaces `proposers` and `layers`, and the reverse.

        Raises:
            ConfigError: Names the field, the reason and the way out.
        """
        mine = {name: getattr(self, name) for name in self.model_fields_set}
        if fields.get("rounds"):
            mine.pop("proposers", None)
            mine.pop("layers", None)
        elif fields.get("proposers"):
            mine.pop("rounds", None)
        return Mixture(**{**mine, **fields})

    @classmethod
    def load(
        cls,
        source: Mixture | str | Path | Mapping[str, Any] | None = None,
        /,
        *,
        trust: bool = False,
        **fields: Unpack[MixtureFields],
    ) -> Mixture:
        """Return a mixture made from itself, a preset's name, a YAML or TOML file, a mapping, or fields alone.

        Args:
            source: What to load.
            trust: Let a mixture file send any variable that it names to any host that it names. Without it, a file
                may send known providers' keys to their own hosts, and what `moa trust FILE` confirmed.
            **fields: Replace what the source says.

        Returns:
            The mixture.

        Raises:
            ConfigError: Names the field, the reason and the way out.
        """
        if isinstance(source, Mixture):
            return source.changed(**fields) if fields else source
        if source is None or isinstance(source, Mapping):
            return cls.model_validate({**(source or {}), **fields})
        if not isinstance(source, str | Path):
            raise ConfigError(
                f"mixture: expected a preset's name, a file, a mapping or a Mixture, got {shown(source)}. "
                "Models are given by name: proposers=[...], aggregator=..."
            )
        loaded = from_file(cls, Path(source), trust=trust)
        return loaded.changed(**fields) if fields else loaded
