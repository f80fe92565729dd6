"""Checks before the first request of a run: keys, local parts, and models that can be made."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from moa_graph.costs import prices
from moa_graph.graph.runs import Run
from moa_graph.graph.targets import AGGREGATOR, PROPOSER, target_of
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models import registry
from moa_graph.models.secrets import keys
from moa_graph.models.secrets.trust import has_passed

__all__ = ["make_models", "require_keys"]


async def require_keys(specs: Sequence[Proposer]) -> None:
    """Check the keys and the local parts of all models before the first request.

    Raises:
        ConfigError: A key is missing, or the embedded runtime is not installed.
    """
    names = {name for spec in specs if (name := keys.key_name(spec))}
    if not (all(os.environ.get(name) for name in names) and all(map(has_passed, specs))):
        # Reading .env and the file of confirmations blocks, which a server's event loop must not.
        await asyncio.to_thread(keys.require_keys, specs)
    if embedded := [spec for spec in specs if is_embedded(spec)]:
        await asyncio.to_thread(registry.require_embedded, embedded)


async def make_models(run: Run) -> None:
    """Make all models before the first request, and begin to read the price list.

    Raises:
        ConfigError: A model cannot be made.
    """
    settings, mixture = run.settings, run.settings.mixture
    await registry.import_packages([*mixture.specs, settings.aggregator])
    await target_of(run, settings.aggregator, AGGREGATOR, quiet=False)
    sampling: dict[str, Any] = {"temperature": settings.temperature, "max_tokens": settings.max_tokens}
    planned = {name for names in settings.rounds for name in names}
    for name, spec in mixture.plan.nodes:
        if name in planned:
            await target_of(run, spec, PROPOSER, quiet=not settings.context.stream_drafts)
        else:
            registry.chat_model(spec, quiet=True, **sampling)
    for spec in mixture.specs[len(mixture.plan.nodes) :]:
        if spec is not settings.aggregator:
            registry.chat_model(spec, quiet=True, **sampling)
    if not prices.loaded() and any(map(prices.listed, mixture.specs)):
        # Reading the price list takes about a second: better while the models work than after they have answered.
        asyncio.get_running_loop().run_in_executor(None, prices.load)
