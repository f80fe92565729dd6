"""The mixtures that a server offers: its owner's choice, or every preset whose keys are set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from moa_graph.errors import ConfigError, InputError, MissingKeyError
from moa_graph.graph.build import MoAGraph, create_moa
from moa_graph.mixture.files import preset_names
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.own_presets import own_presets, resolve
from moa_graph.mixture.proposer import is_embedded
from moa_graph.models.default_mixture import default_mixture
from moa_graph.models.registry import missing_extra, require_embedded
from moa_graph.models.secrets.keys import key_name, require_keys
from moa_graph.serve.problems import Problem
from moa_graph.serve.retries import RecentCalls
from moa_graph.state.value_text import given

_MOST_ADDED = 20
"""Mixtures that are added while the server runs; the oldest are dropped."""


class Catalogue:
    """Mixtures by the names that clients use, and their graphs. The first one is the default.

    Attributes:
        mixtures: Mixtures by name.
        missing: The presets that are left out, with their missing parts: key variables, or the embedded model's parts.
    """

    def __init__(self, mixtures: Mapping[str, Mixture], missing: Mapping[str, list[str]] | None = None) -> None:
        self.mixtures = dict(mixtures)
        self.missing = dict(missing or {})
        if not mixtures:
            lack = "".join(f" `{name}` needs {', '.join(needs)}." for name, needs in self.missing.items())
            raise ConfigError(f"nothing to serve: choose a preset or a mixture file.{lack}")
        # Made here, because making them reads files, which would block an event loop.
        self._graphs = {name: _graph(mixture) for name, mixture in self.mixtures.items()}
        self.owned = dict(mixtures)
        """The owner's choice, without mixtures that were added later."""

    @classmethod
    def of(cls, sources: Iterable[str | Path | Mixture] = (), *, trust: bool = False) -> Catalogue:
        """Return the mixtures of `sources` (presets' names, files, mixtures).

        Without sources, return all presets that can answer here: the default of `moa ask` first, the small embedded
        model last.

        Raises:
            ConfigError: A source is wrong, two have one name, or a requested one lacks its keys or parts.
        """
        sources = list(sources)
        return cls(_named(sources, trust)) if sources else cls(*_usable(trust))

    def add(self, mixture: Mixture, graph: MoAGraph) -> str:
        """Offer a further mixture until the server stops, and return its name. It replaces an earlier one of its name.

        Raises:
            InputError: The mixture has no name, or a mixture of the owner has the same name.
        """
        if not mixture.name:
            raise InputError("name: give the mixture a name.")
        if mixture.name in self.owned:
            raise InputError(f"name: {mixture.name!r} is served already. Give the mixture another name.")
        added = [name for name in self.mixtures if name not in self.owned and name != mixture.name]
        for name in added[: max(0, len(added) + 1 - _MOST_ADDED)]:
            del self.mixtures[name], self._graphs[name]
        self.mixtures[mixture.name], self._graphs[mixture.name] = mixture, graph
        return mixture.name

    def mixture(self, name: str) -> Mixture:
        """Return the mixture of that name.

        Raises:
            Problem: 404; the name is unknown.
        """
        if name not in self.mixtures:
            known = ", ".join(self.mixtures)
            raise Problem(404, f"The model {given(name)} does not exist here. Models: {known}.", code="model_not_found")
        return self.mixtures[name]

    def graph(self, name: str) -> MoAGraph:
        """Return the graph of the mixture of that name."""
        self.mixture(name)
        return self._graphs[name]


def _graph(mixture: Mixture) -> MoAGraph:
    """Return the graph of a mixture, which records calls for retries unless its models cannot be distinguished."""
    try:
        for spec in mixture.specs:
            spec.identity()
    except ConfigError:
        return create_moa(mixture, name="moa")
    return create_moa(mixture, name="moa", ledger=RecentCalls())


def _named(sources: Iterable[str | Path | Mixture], trust: bool) -> dict[str, Mixture]:
    mixtures: dict[str, Mixture] = {}
    for mixture, name in (_loaded(source, trust) for source in sources):
        _require(mixture)
        if name in mixtures:
            raise ConfigError(f"two mixtures are named {name!r}: change the `name` of one of them.")
        mixtures[name] = mixture
    return mixtures


def _usable(trust: bool) -> tuple[dict[str, Mixture], dict[str, list[str]]]:
    """Return the default mixture and the presets that can answer here, and the missing parts of the others."""
    mixtures: dict[str, Mixture] = {}
    missing: dict[str, list[str]] = {}
    presets = sorted(preset_names(), key=lambda name: (name == "local", name))
    chosen = default_mixture()[0]
    for source in [chosen, *presets]:
        mixture, name = _loaded(source, trust)
        lacks = _lacks(mixture)
        if not lacks and source != chosen and _on_own_server(mixture):
            lacks = ["to be requested by name, with its own server running"]
        if lacks:
            missing[name] = lacks
        else:
            mixtures.setdefault(name, mixture)
    return mixtures, missing


def _on_own_server(mixture: Mixture) -> bool:
    """Return whether models run on the user's own server, which may not be running and needs no key."""
    return any(key_name(spec) is None and not is_embedded(spec) for spec in mixture.specs)


def _lacks(mixture: Mixture) -> list[str]:
    """Return the missing parts of a mixture: extras, key variables, or a sentence."""
    if extras := {extra for spec in mixture.specs if (extra := missing_extra(spec))}:
        return [f"the extra `{extra}`" for extra in sorted(extras)]
    try:
        require_keys(mixture.specs)
    except MissingKeyError as error:
        return error.names
    except ConfigError as error:
        return [str(error)]
    try:
        require_embedded(filter(is_embedded, mixture.specs))
    except ConfigError:
        return ["the extra `local` and its model"]
    return []


def _require(mixture: Mixture) -> None:
    require_keys(mixture.specs)
    require_embedded(filter(is_embedded, mixture.specs))


def _loaded(source: str | Path | Mixture, trust: bool) -> tuple[Mixture, str]:
    if isinstance(source, Mixture):
        return source, source.name or "moa"
    found = resolve(source) if isinstance(source, str) else source
    mixture = Mixture.load(found, trust=trust)
    # The user's own preset has the name that the user gave it; a file of it may have another one inside.
    own = next((name for name, path in own_presets().items() if path == Path(found)), None)
    return mixture, own or mixture.name or Path(source).stem
