"""What `params` may hold for providers that are called through their own LangChain package.

Such a package takes settings that decide where the key goes, each under a name of its own. So names are allowed one by
one here. Providers with OpenAI's protocol are called by this package's own client, which sends `params` to its host.
"""

from __future__ import annotations

import difflib
import re

from moa_graph.errors import ConfigError
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models.providers import find
from moa_graph.state.value_text import given

_PARTS = frozenset(
    {"region_name", "region", "location", "project", "api_version", "azure_deployment", "deployment_name"}
)
"""Names of regions and projects: the package makes the host and the path from them."""

ALLOWED = _PARTS | frozenset(
    # Sampling.
    {"top_p", "top_k", "min_p", "typical_p", "tfs_z", "seed", "random_seed", "stop", "stop_sequences", "n"}
    | {"frequency_penalty", "presence_penalty", "repeat_penalty", "repeat_last_n", "logit_bias", "logprobs"}
    | {"top_logprobs", "mirostat", "mirostat_eta", "mirostat_tau", "candidate_count"}
    # Length, reasoning and form of the answer.
    | {"max_completion_tokens", "max_output_tokens", "max_tokens_to_sample", "num_predict", "verbosity", "effort"}
    | {"reasoning", "reasoning_effort", "reasoning_format", "thinking", "thinking_budget", "thinking_level", "think"}
    | {"include_thoughts", "output_config", "response_format", "response_mime_type", "response_schema", "format"}
    | {"output_version", "prompt_mode", "context_management", "cache_control", "parallel_tool_calls"}
    # How the provider runs it.
    | {"service_tier", "safety_settings", "safe_mode", "safe_prompt", "media_resolution", "betas", "inference_geo"}
    | {"user", "user_id", "metadata", "labels", "version", "revision"}
    # Ollama's memory and hardware.
    | {"keep_alive", "num_ctx", "num_gpu", "num_thread", "num_batch", "num_keep"}
)

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*")


def check_package_params(spec: Proposer) -> None:
    """Check the name and the `params` of a model that is called through its own LangChain package.

    Raises:
        ConfigError: The model is an address, a name is not one of `ALLOWED`, or a value would change the host.
    """
    if not isinstance(spec.model, str) or is_embedded(spec):
        return
    name = spec.model.partition(":")[0]
    provider = find(name)
    if (provider is not None and provider.protocol == "openai") or (provider is None and spec.base_url):
        return
    if "://" in spec.model:
        raise ConfigError(
            f"model {given(spec.model)}: an address is not the name of a model. Write the server's address as "
            "`base_url`, with the provider openai."
        )
    for param, value in spec.params.items():
        if param in _PARTS and not (isinstance(value, str) and _PART.fullmatch(value)):
            raise ConfigError(
                f"{spec.label}: params.{param}: expected a name of letters, digits, -, _, . and : alone, because it is "
                f"a part of the provider's address, got {given(value)}."
            )
        if param not in ALLOWED:
            near = difflib.get_close_matches(param, ALLOWED, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(
                f"{spec.label}: params.{param} is not among the request parameters that a mixture may give {name}."
                f"{hint} Pass a LangChain chat model from Python to set anything else."
            )
