"""The graphs named in langgraph.json. MOA_PRESET names a preset or a mixture file; without it the keys decide."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from langchain_core.runnables import RunnableConfig

from moa_graph.graph.build import MoAGraph, create_moa
from moa_graph.graph.client_trace import HEADER, client_trace
from moa_graph.models.default_mixture import default_mixture

_mixture, _reason = default_mixture()
if _reason:
    logging.getLogger("moa_graph").log(
        logging.WARNING if _mixture == "local" else logging.INFO,
        "the graphs `moa` and `moa_answer` use the preset `%s`: %s. MOA_PRESET names another one.",
        _mixture,
        _reason,
    )

GRAPHS = {
    "moa": create_moa(_mixture, name="moa"),
    "moa_answer": create_moa(_mixture, name="moa_answer", output="answer"),
}


@asynccontextmanager
async def moa(config: RunnableConfig) -> AsyncIterator[MoAGraph]:
    """Yield the graph for one use by the server, with its run below the client's span."""
    with client_trace(config.get("configurable", {}).get(HEADER)):
        yield GRAPHS["moa"]


@asynccontextmanager
async def moa_answer(config: RunnableConfig) -> AsyncIterator[MoAGraph]:
    """Yield the graph that returns messages alone, in the same way."""
    with client_trace(config.get("configurable", {}).get(HEADER)):
        yield GRAPHS["moa_answer"]
