"""The graphs that langgraph.json names; the preset is `MOA_PRESET` (a name or a mixture file), or else
`local`."""

from moa_graph.graph.build import create_moa
from moa_graph.models.keys import environment

_mixture = environment("MOA_PRESET") or "local"

moa = create_moa(_mixture, name="moa")
moa_answer = create_moa(_mixture, name="moa_answer", output="answer")
