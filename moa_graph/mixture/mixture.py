"""A mixture, described once: the models, the layers, the prompt, and what a run may cost."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self, Unpack

from pydantic import BeforeValidator, Field, field_validator, model_validator

from moa_graph.errors import ConfigError
from moa_graph.mixture.combiner import Combiner, Outline, PlannedCall
from moa_graph.mixture.combiners import AnyCombiner, Synthesize
from moa_graph.mixture.fields import MixtureFields
from moa_graph.mixture.files import is_preset, read
from moa_graph.mixture.price_overrides import Dated, rates
from moa_graph.mixture.problems import explained
from moa_graph.mixture.proposer import MAX_NODES, Origin, Proposer, Spec, reading
from moa_graph.mixture.validation import Checked, refuse_unknown

__all__ = ["MAX_LAYERS", "Mixture", "Node", "Proposer"]

MAX_LAYERS = 10
"""More than any published mixture uses; a bound on what one request may cost."""


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _plain_price(price: Any) -> Any:
    if not isinstance(price, Mapping):
        return _as_list(price)
    return {name: str(value) if name == "date" else value for name, value in price.items()}


Price = Annotated[list[float], Field(min_length=2, max_length=2)] | Dated
Round = Annotated[list[Spec], BeforeValidator(_as_list), Field(min_length=1)]


class Node(NamedTuple):
    """A proposer node: its name in the graph and what it asks."""

    name: str
    spec: Proposer


class Mixture(Checked):
    """A whole mixture: proposers, layers, aggregator, prompt and limits.

    Give `proposers` (the same in every round) with `layers`, or `rounds`, a list of proposer lists.
    `layers` counts as the paper does, the aggregator's own included. Times are seconds, money is dollars.
    `deadline` bounds one model call, `run_deadline` the run; `quorum` closes a round at that many counted
    drafts plus `grace` seconds; fewer than `min_drafts` end the run with an error. `fallbacks` are asked in
    order when the aggregator fails; when all fail, `on_failure` raises, or returns the longest draft,
    labelled as such. `hedge` repeats a call that has not answered after so many seconds. `draft_tokens`
    cuts every draft that others are shown. `prices` overrides dollars per million tokens, as
    `{"provider:model": [input, output]}` or `{"input": ..., "output": ..., "date": ...}`.
    """

    proposers: Annotated[list[Spec], BeforeValidator(_as_list)] = Field(default_factory=list)
    rounds: Annotated[list[Round], BeforeValidator(_as_list)] = Field(default_factory=list)
    aggregator: Spec
    layers: int = Field(default=2, ge=1, le=MAX_LAYERS)
    prompt: Literal["paper", "fenced"] = "fenced"
    system: str | None = None
    shuffle: bool = False
    sees: Annotated[int, Field(ge=1)] | list[Annotated[int, Field(ge=1)] | None] | None = None
    combine: AnyCombiner = Synthesize()
    combiners: Annotated[list[AnyCombiner], BeforeValidator(_as_list)] = Field(default_factory=list)
    draft_tokens: int | None = Field(default=None, ge=16)
    deadline: float = Field(default=120.0, gt=0, le=86_400)
    run_deadline: float | None = Field(default=None, gt=0, le=86_400)
    quorum: int | None = Field(default=None, ge=1)
    grace: float = Field(default=0.0, ge=0, le=3_600)
    min_drafts: int = Field(default=1, ge=0)
    fallbacks: Annotated[list[Spec], BeforeValidator(_as_list)] = Field(default_factory=list)
    on_failure: Literal["error", "best_draft"] = "error"
    max_attempts: int = Field(default=3, ge=1, le=10)
    hedge: float | None = Field(default=None, gt=0)
    max_cost: float | None = Field(default=None, ge=0)
    max_calls: int | None = Field(default=None, ge=1)
    prices: dict[str, Price] = Field(default_factory=dict)
    name: str | None = Field(default=None, min_length=1)
    description: str | None = None
    date: str | None = None
    source: str | None = None
    note: str | None = None

    if TYPE_CHECKING:
        # pydantic derives the arguments' types from the validated values: models by name would be type errors.
        def __init__(self, **fields: Unpack[MixtureFields]) -> None: ...

    @field_validator("prices", mode="before")
    @classmethod
    def _check_prices(cls, given: Any) -> Any:
        """Here, and not when the first answer has been paid for. YAML makes a date of what looks like one."""
        if not isinstance(given, Mapping):
            return given
        for name, price in given.items():
            rates(str(name), price)
        return {name: _plain_price(price) for name, price in given.items()}

    @model_validator(mode="before")
    @classmethod
    def _split_rounds(cls, data: Any) -> Any:
        """Take rounds written as `{proposers: [...], sees: k}` apart."""
        rounds = data.get("rounds") if isinstance(data, Mapping) else None
        if not isinstance(rounds, list | tuple) or not any(_is_round(each) for each in rounds):
            return data
        if data.get("sees") is not None:
            raise ConfigError("mixture.sees: given for the mixture and for a round. Remove one.")
        for each in rounds:
            if _is_round(each):
                refuse_unknown(each, {"proposers": 0, "sees": 0}, what="mixture.rounds")
        sees = [each.get("sees") if _is_round(each) else None for each in rounds]
        return {**data, "rounds": [each["proposers"] if _is_round(each) else each for each in rounds], "sees": sees}

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if bool(self.proposers) == bool(self.rounds):
            raise ConfigError(
                "mixture: give either `proposers` (the same in every round) or `rounds`, and at least one."
            )
        if self.rounds and "layers" in self.model_fields_set and self.layers != len(self.rounds) + 1:
            raise ConfigError(
                f"mixture.layers: {len(self.rounds)} rounds and the aggregator make {len(self.rounds) + 1} layers, "
                f"not {self.layers}. Leave `layers` out."
            )
        if len(self.rounds) >= MAX_LAYERS:
            raise ConfigError(f"mixture.rounds: at most {MAX_LAYERS - 1}, got {len(self.rounds)}.")
        for specs in self.rounds or [self.proposers]:
            _refuse_duplicates(specs)
        self._check_counts()
        self._check_combiners()
        return self

    def _check_combiners(self) -> None:
        names = [self.combine.name, *(each.name for each in self.combiners)]
        if twice := next((name for name, times in Counter(names).items() if times > 1), None):
            raise ConfigError(f"mixture.combiners: {twice} is listed twice. A run chooses a combiner by its name.")
        specs = {node.name: node.spec for node in self.plan[0]}
        rounds = [[specs[name] for name in self.round_nodes(layer)] for layer in range(1, self.total_layers)]
        for each in self.choices.values():
            _refuse_duplicates(each.roster)
            each.refuse_misfit(rounds)
        if isinstance(self.sees, list) and len(self.sees) != len(rounds):
            raise ConfigError(f"mixture.sees: {len(self.sees)} numbers for {len(rounds)} rounds. Give one for each.")
        for layer in range(2, len(rounds) + 1):
            before, slots, sees = len(rounds[layer - 2]), len(rounds[layer - 1]), self.seen(layer)
            if sees is not None and sees * slots < before:
                raise ConfigError(
                    f"mixture.sees: {slots} slots that see {sees} each cannot see all {before} drafts. "
                    f"Set it to {-(-before // slots)} or more."
                )

    def _check_counts(self) -> None:
        smallest = min(len(names) for names in self.plan[1])
        for field in ("quorum", "min_drafts"):
            wanted = getattr(self, field)
            if wanted is not None and wanted > smallest:
                raise ConfigError(f"mixture.{field}: {wanted} drafts wanted, but a round has {smallest} proposers.")
        if self.quorum is not None and self.quorum < self.min_drafts:
            raise ConfigError(
                f"mixture.quorum: {self.quorum} drafts would close a round that needs {self.min_drafts} (min_drafts)."
            )
        if len(self.plan[0]) > MAX_NODES:
            raise ConfigError(f"mixture: {len(self.plan[0])} proposer nodes; the most is {MAX_NODES}.")

    @cached_property
    def plan(self) -> tuple[list[Node], list[list[str]]]:
        """The proposer nodes, and the node names of each round in slot order.

        A proposer that stands in several rounds is one node; k samples of it in one round are k nodes.
        Numbers are padded with zeros, so that text order is declaration order.
        """
        nodes, rounds = self._rosters
        return nodes, rounds[: len(self.rounds) or 1]

    @property
    def rosters(self) -> dict[str, list[str]]:
        """The node names of the rounds that only a combiner runs, by the combiner's name."""
        own = [each.name for each in self.choices.values() if each.roster]
        return dict(zip(own, self._rosters[1][len(self.rounds) or 1 :], strict=True))

    @cached_property
    def _rosters(self) -> tuple[list[Node], list[list[str]]]:
        wanted: dict[tuple[str, int], Proposer] = {}
        rounds: list[list[tuple[str, int]]] = []
        rosters = [each.roster for each in self.choices.values() if each.roster]
        for specs in [*(self.rounds or [self.proposers]), *rosters]:
            seen: Counter[str] = Counter()
            keys = []
            for spec in (each for each in specs for _ in range(each.samples)):
                key = _identity(spec)
                keys.append((key, seen[key]))
                wanted.setdefault(keys[-1], spec)
                seen[key] += 1
            rounds.append(keys)
        width = len(str(len(wanted) - 1))
        names = {key: f"p{place:0{width}d}-{spec.slug}" for place, (key, spec) in enumerate(wanted.items())}
        return [Node(names[key], spec) for key, spec in wanted.items()], [[names[k] for k in keys] for keys in rounds]

    @property
    def total_layers(self) -> int:
        """Layers, the aggregator's included."""
        return len(self.rounds) + 1 if self.rounds else self.layers

    def round_nodes(self, layer: int) -> list[str]:
        """Node names of the round of `layer` (1-based), in slot order."""
        rounds = self.plan[1]
        return rounds[layer - 1] if self.rounds else rounds[0]

    @cached_property
    def choices(self) -> dict[str, Combiner]:
        """The combiners that a run may use, by name; the mixture's own first."""
        return {each.name: each for each in (self.combine, *self.combiners)}

    def combiner(self, name: str | None) -> Combiner:
        """Return the combiner called `name`, or the mixture's own.

        Raises:
            ConfigError: the mixture does not list it.
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
            layers: Layers of the mixture's own, the aggregator's included.
            combine: The combiner, which may add rounds.
        """
        base = [self.round_nodes(layer) for layer in range(1, combine.base_layers(layers))]
        extra = combine.extra_rounds(base, self.rosters.get(combine.name, []))
        return [*base, *(extra if base else [])], len(base)

    def seen(self, layer: int) -> int | None:
        """Return how many drafts of the round before a slot of `layer` is shown; None means all."""
        return self.sees[layer - 1] if isinstance(self.sees, list) else self.sees

    def planned(
        self,
        layers: int | None = None,
        combine: str | None = None,
        *,
        aggregator: Proposer | None = None,
        least: bool = False,
    ) -> list[PlannedCall]:
        """Return the model calls of one question when nothing fails.

        Args:
            layers: Layers, the aggregator's included; the mixture's by default.
            combine: The combiner's name; the mixture's own by default.
            aggregator: Who writes the answer; the mixture's aggregator by default.
            least: Whether the fewest calls are wanted, or the most.
        """
        chosen = self.combiner(combine)
        names, base = self.run_rounds(layers or self.total_layers, chosen)
        specs = {node.name: node.spec for node in self.plan[0]}
        rounds = [[specs[name] for name in each] for each in names]
        writer = aggregator or self.aggregator
        if not base:
            return [PlannedCall(writer, 1, "aggregator", 0)]
        sees = [self.seen(layer) for layer in range(1, base + 1)]
        return chosen.planned(Outline(rounds[:base], rounds[base:], writer, sees), least=least)

    def calls(self, layers: int | None = None, combine: str | None = None, *, least: bool = False) -> int:
        """Return how many model calls one question makes, at most or at least, when nothing fails."""
        return len(self.planned(layers, combine, least=least))

    def steps(self) -> int:
        """Return the most steps that a run of the graph can take."""
        own = max(2 * each.stages + 2 * len(self.run_rounds(2, each)[0]) for each in self.choices.values())
        batches = (
            sum(len(names) for names in self.plan[1]) if any(hasattr(c, "batch") for c in self.choices.values()) else 0
        )
        return own + 2 * batches

    @property
    def specs(self) -> list[Proposer]:
        """Every model of the mixture: proposers, aggregator, fallbacks, and those of combiners."""
        own = [spec for each in self.choices.values() for spec in each.specs]
        return [*(node.spec for node in self.plan[0]), self.aggregator, *self.fallbacks, *own]

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits over all that decides what is asked; limits, prices and descriptions left
        out."""
        parts = {
            "rounds",
            "proposers",
            "aggregator",
            "fallbacks",
            "layers",
            "prompt",
            "system",
            "shuffle",
            "draft_tokens",
        }
        # Left out where they are not used, so that ledgers of mixtures without them stay valid.
        plain: dict[str, Any] = {"sees": None, "combine": Synthesize(), "combiners": []}
        parts |= {name for name, unused in plain.items() if getattr(self, name) != unused}
        data: list[Any] = [_without_limits(self.model_dump(mode="json", include=parts))]
        # In the data, a chat model object is only its class and its model's name.
        data += [spec.identity(strict=False) for spec in self.specs if not isinstance(spec.model, str)]
        text = json.dumps(data if len(data) > 1 else data[0], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def changed(self, **fields: Unpack[MixtureFields]) -> Mixture:
        """A copy with other fields, checked as a whole."""
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
        """A mixture from itself, a preset's name, a YAML or TOML file, a mapping, or fields alone.

        Args:
            source: What to load.
            trust: Let a mixture file send any variable that it names to any host that it names. Without it, a file
                may send known providers' keys to their own hosts, and what `moa trust FILE` confirmed.
            **fields: Replace what the source says.

        Returns:
            The mixture.

        Raises:
            ConfigError: naming the field, the reason and the way out.
        """
        if isinstance(source, Mixture):
            return source.changed(**fields) if fields else source
        if source is None or isinstance(source, Mapping):
            given = {**(source or {}), **fields}
            refuse_unknown(given, cls.model_fields, what=cls.called)
            return cls(**given)
        if not isinstance(source, str | Path):
            raise ConfigError(
                f"mixture: expected a preset's name, a file, a mapping or a Mixture, got {type(source).__name__}. "
                "Models are given by name: proposers=[...], aggregator=..."
            )
        given = read(source)
        origin = Origin() if is_preset(source) else Origin(Path(source).absolute(), trust)
        token = reading.set(origin)
        try:
            loaded = cls(**given)
        except ConfigError as exc:
            if is_preset(source):
                raise
            known = {"mixture": list(cls.model_fields), "proposer": list(Proposer.model_fields)}
            raise explained(
                Path(source), given, lambda all_: cls(**all_), lambda one: Proposer(**one), known, exc
            ) from None
        finally:
            reading.reset(token)
        return loaded.changed(**fields) if fields else loaded


def _is_round(value: Any) -> bool:
    return isinstance(value, Mapping) and "proposers" in value


def _identity(spec: Proposer) -> str:
    data = spec.model_dump(mode="json", exclude={"samples", "model"})
    who = spec.model if isinstance(spec.model, str) else id(spec.model)
    return json.dumps([who, data], sort_keys=True, default=str)


def _refuse_duplicates(specs: Sequence[Proposer]) -> None:
    for key, times in Counter(map(_identity, specs)).items():
        if times > 1:
            spec = next(s for s in specs if _identity(s) == key)
            raise ConfigError(
                f"mixture.proposers: {spec.label} is listed {times} times with the same settings. "
                f"If that is meant, write it once with samples={times}."
            )


def _without_limits(value: Any) -> Any:
    """`value` without the proposers' limits of requests at once, which do not decide what is asked."""
    if isinstance(value, dict):
        return {key: _without_limits(each) for key, each in value.items() if key != "max_concurrent"}
    return [_without_limits(each) for each in value] if isinstance(value, list) else value
