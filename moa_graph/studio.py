"""The graphs named in langgraph.json. MOA_PRESET names a preset or a mixture file; without it the keys decide."""

from __future__ import annotations

import logging

from moa_graph.graph.build import create_moa
from moa_graph.models.default_mixture import default_mixture

_mixture, _reason = default_mixture()
if _reason:
    logging.getLogger("moa_graph").log(
        logging.WARNING if _mixture == "local" else logging.INFO,
        "the graphs `moa` and `moa_answer` use the preset `%s`: %s. MOA_PRESET names another one.",
        _mixture,
        _reason,
    )

moa = create_moa(_mixture, name="moa")
moa_answer = create_moa(_mixture, name="moa_answer", output="answer")
