"""The mixture to use when none is named; the command, the page and the MCP tool share it."""

from __future__ import annotations

import os
from pathlib import Path

from moa_graph.errors import ConfigError
from moa_graph.mixture.files import is_preset, preset_path
from moa_graph.mixture.own_presets import resolve
from moa_graph.models.providers import PROVIDERS, Provider
from moa_graph.models.secrets.keys import environment

__all__ = ["default_mixture"]

_UNUSED = (
    "AZURE_OPENAI_API_KEY",
    "CEREBRAS_API_KEY",
    "COHERE_API_KEY",
    "NVIDIA_API_KEY",
    "PERPLEXITY_API_KEY",
    "UPSTAGE_API_KEY",
)
"""Key variables of providers that no preset uses."""


def default_mixture() -> tuple[str | Path, str | None]:
    """Return the default mixture and the reason for it.

    One key is enough. With several keys, the first entry of `PROVIDERS` whose package is installed is used; keys of
    both OpenAI and Together select the preset `mixed`. The reason names keys that are set and cannot be used.

    It reads `.env` for keys, so do not call it on an event loop. MOA_PRESET is read from the process environment only:
    the `.env` of a folder must not choose the mixture.

    Returns:
        A preset's name or a file; and the reason, None for MOA_PRESET.

    Raises:
        ConfigError: MOA_PRESET names neither a preset nor a file.
    """
    if named := os.environ.get("MOA_PRESET"):
        return _named(named), None
    found = {key: provider for provider in PROVIDERS.values() if provider.preset and (key := _key_set(provider))}
    usable = {key: provider for key, provider in found.items() if provider.installed}
    unusable = [
        f"{key} is set too, but {provider.title} needs a package: pip install 'moa_graph[{provider.extra}]'"
        for key, provider in found.items()
        if key not in usable
    ]
    if {"OPENAI_API_KEY", "TOGETHER_API_KEY"} <= usable.keys():
        return "mixed", "; ".join(["OPENAI_API_KEY and TOGETHER_API_KEY are set", *unusable])
    for key, provider in usable.items():
        return str(provider.preset), "; ".join([f"{key} is set", *unusable])
    unusable += [f"{key} is set, but no preset uses it: name your own models" for key in _UNUSED if environment(key)]
    if unusable:
        text = "; ".join(unusable).replace(" is set too, but", " is set, but", 1)
        return "local", f"{text}; until then the small embedded model answers"
    return "local", "no provider key is set, so the small embedded model answers"


def _named(name: str) -> str | Path:
    """Return the mixture that MOA_PRESET names: a preset of the package, the user's own, or a file."""
    try:
        source = resolve(name)
        if is_preset(source):
            preset_path(str(source))
        elif not Path(source).exists():
            raise ConfigError(f"mixture file {source}: no such file.")
    except ConfigError as exc:
        raise ConfigError(f"MOA_PRESET: {exc}") from None
    return source


def _key_set(provider: Provider) -> str | None:
    """Return the variable in which the provider's key is set, None if there is no key."""
    return next((name for name in provider.keys if environment(name)), None)
