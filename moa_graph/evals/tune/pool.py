"""The pool: the models that `moa tune` may combine, and what is the same for every candidate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from moa_graph.errors import ConfigError, InputError
from moa_graph.evals.tune.in_process import identifiable
from moa_graph.mixture.combiners.checks import Check
from moa_graph.mixture.files import is_preset, preset_names, read
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.price_overrides import Price, checked_prices
from moa_graph.mixture.proposer import Origin, Proposer, Spec, reading
from moa_graph.mixture.validation import Checked, as_list, collected, refuse_unknown
from moa_graph.models.registry import require_known

__all__ = ["Pool", "identity_of", "names_of"]

_OF_A_MIXTURE = ("proposers", "aggregator", "fallbacks")


class Pool(Checked):
    """The models that candidates are made of.

    Attributes:
        models: The proposers to choose from. `samples` is ignored here: every model is sampled equally often.
        aggregators: The models that may write or judge; by default the best single model of the pool.
        system: A system prompt for every model.
        draft_tokens: Cuts every draft that others are shown.
        deadline: Seconds one model call may take.
        verify: What the combiner `verify` may check drafts with in production. Without it `verify` is not tried: a
            check that knows the right answers cannot be used there.
        prices: Dollars per million tokens, as in a mixture.
    """

    called: ClassVar[str] = "pool"

    models: Annotated[list[Spec], BeforeValidator(as_list), Field(min_length=1, max_length=32)]
    aggregators: Annotated[list[Spec], BeforeValidator(as_list)] = Field(default_factory=list)
    system: str | None = None
    draft_tokens: int | None = Field(default=None, ge=16)
    deadline: float = Field(default=120.0, gt=0, le=86_400)
    verify: Check | None = None
    prices: Annotated[dict[str, Price], BeforeValidator(collected(checked_prices))] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_models(self) -> Self:
        seen: dict[str, Proposer] = {}
        for spec in self.models:
            if identity_of(spec) in seen:
                raise ConfigError(
                    f"pool.models: {spec.label} is listed twice with the same settings. Every model is sampled several "
                    "times as it is; remove one."
                )
            seen[identity_of(spec)] = spec
        return self

    @classmethod
    def load(cls, source: Pool | str | Path | Sequence[Any], *, trust: bool = False) -> Pool:
        """Return a pool from itself, a file, or a list of models.

        A file is YAML or TOML with the fields of a pool. A mixture's file or preset is one too: its proposers are the
        models, its aggregator and fallbacks the aggregators.

        Args:
            source: What to load.
            trust: Let the file send any variable that it names to any host that it names, as for a mixture.

        Raises:
            ConfigError: The file cannot be used, or a model is unknown.
            InputError: The list is empty.
        """
        if isinstance(source, Pool):
            return source._identifiable()
        if not isinstance(source, str | Path):
            if not source:
                raise InputError("the pool is empty: give at least one model")
            if not isinstance(source, list | tuple):
                raise InputError(f"pool: give a file, a `Pool` or a list of models, not {source!r:.60}")
            pool = cls(models=[_spec(each, f"pool[{place}]") for place, each in enumerate(source)])
        else:
            if is_preset(source) and str(source) not in preset_names():
                raise ConfigError(
                    f"pool {source}: no preset has this name, and a pool file ends in .yaml, .yml or .toml. Presets: "
                    f"{', '.join(preset_names())}."
                )
            given = read(source, what="pool", fields="`models:`, the list of models")
            if set(given) & set(_OF_A_MIXTURE) or "rounds" in given:
                pool = cls._of_mixture(Mixture.load(source, trust=trust))
            else:
                pool = cls._of_file(Path(source), given, trust=trust)
        for spec in (*pool.models, *pool.aggregators):
            require_known(spec)
        return pool._identifiable()

    def _identifiable(self) -> Pool:
        """Return the pool with objects that a ledger can identify; one object stays one model."""
        made = {id(spec.model): identifiable(spec).model for spec in (*self.models, *self.aggregators)}
        models, writers = (
            [spec.model_copy(update={"model": made[id(spec.model)]}) for spec in specs]
            for specs in (self.models, self.aggregators)
        )
        return self.model_copy(update={"models": models, "aggregators": writers})

    @classmethod
    def _of_file(cls, path: Path, given: dict[str, Any], *, trust: bool) -> Pool:
        token = reading.set(Origin(path.absolute(), trust))
        try:
            refuse_unknown(given, cls.model_fields, what=f"pool file {path}")
            for field in ("models", "aggregators"):
                if isinstance(entries := given.get(field), list):
                    given[field] = [_spec(each, f"{field}[{place}]") for place, each in enumerate(entries)]
            return cls(**given)
        except ConfigError as exc:
            # Of the fields of a combiner a pool has one, `verify`.
            text = str(exc).replace("combine.check", "pool.verify")
            raise exc if str(path) in str(exc) else ConfigError(f"pool file {path}: {text}") from None
        finally:
            reading.reset(token)

    @classmethod
    def _of_mixture(cls, mixture: Mixture) -> Pool:
        distinct = {identity_of(node.spec): node.spec for node in mixture.plan.nodes}
        writers = {identity_of(spec): spec for spec in (mixture.aggregator, *mixture.fallbacks)}
        return cls(
            models=[spec.model_copy(update={"samples": 1}) for spec in distinct.values()],
            aggregators=list(writers.values()),
            system=mixture.system,
            draft_tokens=mixture.draft_tokens,
            deadline=mixture.deadline,
            prices=mixture.prices,
        )

    @property
    def names(self) -> list[str]:
        """The models' names in tables, all different."""
        return names_of(self.models)

    @property
    def shared(self) -> dict[str, Any]:
        """The fields that every candidate's mixture has."""
        given: dict[str, Any] = {"deadline": self.deadline, "prices": self.prices}
        given |= {name: value for name in ("system", "draft_tokens") if (value := getattr(self, name)) is not None}
        return given


def _spec(given: Any, where: str) -> Proposer:
    """Return an entry of a list of models; its errors name its place there."""
    if isinstance(given, Proposer):
        return given
    try:
        if isinstance(given, dict):
            return Proposer(**{str(name): value for name, value in given.items()})
        if isinstance(given, int | float | list | None):
            raise ConfigError(f'expected "provider:model", or an object with `model`, not {given!r}.')
        return Proposer(given)
    except ConfigError as exc:
        text = str(exc).removeprefix("proposer").removeprefix(": ")
        raise ConfigError(f"{where}{text}" if text.startswith(".") else f"{where}: {text}") from None


def identity_of(spec: Proposer) -> str:
    """Return what decides which drafts are this model's: the model, its host, its sampling and its system prompt."""
    sampling = [spec.temperature, spec.max_tokens, spec.system]
    who = spec.identity(strict=False) if isinstance(spec.model, str) else {"object": id(spec.model)}
    return json.dumps([who, sampling], sort_keys=True, default=str)


def names_of(specs: Sequence[Proposer]) -> list[str]:
    """Return a name for every model: its own, or the last part of the model's, numbered where two are equal."""
    plain = [spec.name or (spec.label.partition(":")[2] or spec.label).rsplit("/", 1)[-1] for spec in specs]
    names: list[str] = []
    for place, name in enumerate(plain):
        twice = plain.count(name) > 1
        names.append(f"{name} ({plain[:place].count(name) + 1})" if twice else name)
    return names
