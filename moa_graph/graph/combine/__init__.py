"""Combiners: how the answer is made from the drafts. One file each, named after the combiner."""

from __future__ import annotations

from typing import Any

from moa_graph.graph.combine.analyze import Analyze
from moa_graph.graph.combine.base import Combiner
from moa_graph.graph.combine.critique import Critique
from moa_graph.graph.combine.escalate import Escalate
from moa_graph.graph.combine.select import Select
from moa_graph.graph.combine.synthesize import Synthesize
from moa_graph.graph.combine.verify import Verify
from moa_graph.graph.combine.vote import Vote
from moa_graph.mixture.combiner import Combiner as Options

__all__ = ["combiner_of"]

_ALL: dict[str, type[Combiner[Any]]] = {
    "synthesize": Synthesize,
    "analyze": Analyze,
    "select": Select,
    "vote": Vote,
    "verify": Verify,
    "escalate": Escalate,
    "critique": Critique,
}


def combiner_of(options: Options) -> Combiner[Any]:
    """Return the combiner that works by `options`."""
    return _ALL[options.name](options)
