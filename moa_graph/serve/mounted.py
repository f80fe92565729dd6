"""The app that langgraph.json mounts; MOA_SERVE names what it offers (presets and mixture files, comma-separated)."""

from moa_graph.models import environment
from moa_graph.serve.app import create_app
from moa_graph.serve.catalogue import Catalogue
from moa_graph.serve.guard import Policy, words

app = create_app(
    Catalogue.of(words(environment("MOA_SERVE"))),
    Policy.from_environment(environment),
    home=False,
)
