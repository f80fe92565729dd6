"""The graphs that langgraph.json names; the preset is `MOA_PRESET` (a name or a mixture file), or else
`local`."""

import os

from moa_graph.graph.build import create_moa

_mixture = os.environ.get("MOA_PRESET") or "local"

moa = create_moa(_mixture, name="moa")
moa_answer = create_moa(_mixture, name="moa_answer", output="answer")
