"""The graphs named in langgraph.json. MOA_PRESET names the preset or a mixture file; the default is `local`."""

import os

from moa_graph.graph.build import create_moa

_mixture = os.environ.get("MOA_PRESET") or "local"

moa = create_moa(_mixture, name="moa")
moa_answer = create_moa(_mixture, name="moa_answer", output="answer")
