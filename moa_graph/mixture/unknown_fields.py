"""The way out of an unknown field: the field that was meant, and where it is written."""

from __future__ import annotations

import difflib
from collections.abc import Collection

__all__ = ["unknown_field"]

_SIMILAR = 0.7
"""How alike a misspelled name is to its field, at least. At 0.5 `judge` was taken for `hedge`."""

_MEANT: dict[str, tuple[str, ...]] = {
    "proposers": ("models", "reference_models", "references", "agents"),
    "aggregator": ("synthesizer", "aggregator_model", "writer"),
    "combine": ("combiner", "strategy", "judge", "analyst", "method"),
    "layers": ("num_layers", "n_layers", "depth"),
    "deadline": ("timeout", "request_timeout"),
    "max_attempts": ("max_retries", "retries"),
    "min_drafts": ("min_proposers",),
    "max_cost": ("budget", "cost_limit"),
    "model": ("model_name", "model_id", "deployment"),
    "base_url": ("url", "api_base", "openai_api_base", "endpoint", "host", "server"),
    "api_key_env": ("api_key", "openai_api_key", "key"),
    "system": ("system_prompt", "system_message", "instructions", "prompt", "template", "aggregator_prompt"),
    "max_tokens": ("max_completion_tokens", "max_output_tokens"),
    "samples": ("n", "count", "num_samples", "repeat"),
    "max_concurrent": ("concurrency", "max_concurrency", "max_parallel"),
    "input": ("in",),
    "output": ("out",),
    "window": ("context_window", "context_length", "num_ctx"),
}
"""Fields by names of other packages."""

_PARAMS = frozenset({
    "extra_body", "frequency_penalty", "logit_bias", "min_p", "model_kwargs", "presence_penalty", "reasoning",
    "reasoning_effort", "repetition_penalty", "seed", "service_tier", "stop", "thinking", "top_k", "top_p", "verbosity",
})  # fmt: skip
"""Parameters of providers' APIs."""


def unknown_field(key: object, known: Collection[str]) -> str:
    """Return the message for an unknown field: the field that was meant and where it belongs, or all known fields.

    Args:
        key: The unknown field.
        known: The fields that there are.
    """
    text = str(key)
    return f"unknown field {text[:60]!r}. {_way_out(text, known)}"


def _way_out(key: str, known: Collection[str]) -> str:
    if key == "preset" and "proposers" in known:
        return "A file does not extend a preset: copy what `moa presets show NAME` prints, and change it."
    for field, names in _MEANT.items():
        # ChatMoA has `timeout` and `max_retries`; a mixture has neither.
        if key in names and (near := [name for name in (*names, field) if name in known]):
            return f"Did you mean {near[0]!r}?"
    if place := _elsewhere(key, known):
        return place
    for field, names in _MEANT.items():
        if key in names and (place := _elsewhere(field, known)):
            return f"Did you mean {field!r}? {place}"
    if key in _PARAMS and "params" in known:
        return "A parameter of the provider's API goes into `params`."
    if key in _PARAMS and (models := _models(known)):
        return f"A parameter of the provider's API goes into the `params` of a model in {models}."
    if near := difflib.get_close_matches(key, known, n=1, cutoff=_SIMILAR):
        return f"Did you mean {near[0]!r}?"
    hint = " A parameter of the provider's API goes into `params`." if "params" in known else ""
    return f"Known fields: {', '.join(known)}.{hint}"


def _elsewhere(key: str, known: Collection[str]) -> str:
    """Return where the package has a field of that name, if what has the fields `known` belongs to the same file."""
    from moa_graph.mixture.context import MoAContext
    from moa_graph.mixture.mixture import Mixture
    from moa_graph.mixture.proposer import Proposer

    models = _models(known)
    if models and key in Proposer.model_fields:
        return f"It is a field of each model: write it in {models}."
    if models and key in MoAContext.model_fields and key not in Mixture.model_fields:
        return f"It is set for one run, in the run's `context`: {{{key!r}: ...}}."
    if "params" in known and key in Mixture.model_fields:
        return "It is a field of the mixture: write it beside `proposers`, not in a model. (In TOML: above all tables.)"
    return ""


def _models(known: Collection[str]) -> str:
    """Return the names of the fields that hold models; none for what is not a mixture, a round or a pool."""
    found = [f"`{name}`" for name in ("proposers", "models", "aggregator") if name in known]
    return "" if found == ["`aggregator`"] else " and ".join(found)
