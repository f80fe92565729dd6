"""The app that langgraph.json mounts; MOA_SERVE names what it offers (presets and mixture files, comma-separated)."""

import logging

from starlette.applications import Starlette

from moa_graph.errors import ConfigError
from moa_graph.models.keys import environment
from moa_graph.serve.access import Policy, words
from moa_graph.serve.app import create_app
from moa_graph.serve.catalogue import Catalogue


def _mounted() -> Starlette:
    sources = words(environment("MOA_SERVE"))
    try:
        catalogue = Catalogue.of(sources)
    except ConfigError as error:
        if sources or environment("MOA_PRESET"):
            raise
        # The server's graphs can be drawn without any model: Studio must not lack them for want of a key.
        logging.getLogger("moa_graph").warning("neither endpoint nor page: %s", error)
        return Starlette()
    return create_app(catalogue, Policy.from_environment(environment), home=False)


app = _mounted()
