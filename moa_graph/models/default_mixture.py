"""The mixture to use when none is named; the command, the page and the MCP tool share it."""

from __future__ import annotations

import os

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


def default_mixture() -> tuple[str, str | None]:
    """Return the default mixture and the reason for it.

    One key is enough. With several keys, the first entry of `PROVIDERS` whose package is installed is used; keys of
    both OpenAI and Together select the preset `mixed`. The reason names keys that are set and cannot be used.

    It reads `.env` for keys, so do not call it on an event loop. MOA_PRESET is read from the process environment only:
    the `.env` of a folder must not choose the mixture.

    Returns:
        A preset's name, or the value of MOA_PRESET (a preset's name or a file); and the reason, None for MOA_PRESET.
    """
    if named := os.environ.get("MOA_PRESET"):
        return named, None
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


def _key_set(provider: Provider) -> str | None:
    """Return the variable in which the provider's key is set, None if there is no key."""
    return next((name for name in provider.keys if environment(name)), None)
