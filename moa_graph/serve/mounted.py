"""The app that langgraph.json mounts: the endpoint and the page, and the protection of all routes of the server.

MOA_SERVE names the presets and mixture files to offer, comma-separated.
"""

from __future__ import annotations

import logging
import os
import sys

from starlette.applications import Starlette

from moa_graph.errors import ConfigError
from moa_graph.serve.access import Policy, words
from moa_graph.serve.app import create_app
from moa_graph.serve.catalogue import Catalogue
from moa_graph.serve.server_guard import AllowedPages, ServerGuard


def _offered(policy: Policy) -> Starlette:
    sources = words(os.environ.get("MOA_SERVE"))
    try:
        catalogue = Catalogue.of(sources)
    except ConfigError as error:
        if sources or os.environ.get("MOA_PRESET"):
            raise
        # Studio can draw the server's graphs without any model: a missing key must not stop the server.
        logging.getLogger("moa_graph").warning("the endpoint and the page are not available: %s", error)
        return Starlette()
    return create_app(catalogue, policy, home=False)


def protected(app: Starlette, policy: Policy) -> Starlette:
    """Add the protection of all routes to `app`, unless the server that imports it has an `auth` configured.

    The Agent Server adds its own routes to the app that langgraph.json names, below that app's middleware.
    """
    server = sys.modules.get("langgraph_api.config")
    kind = getattr(server, "LANGGRAPH_AUTH_TYPE", "noop")
    if getattr(server, "LANGGRAPH_AUTH", None) or kind != "noop":
        return app
    pages = AllowedPages.of_server(getattr(server, "CORS_CONFIG", None))
    app.add_middleware(ServerGuard, policy=policy, pages=pages, own=tuple(app.routes))
    return app


_policy = Policy.from_environment()
app = protected(_offered(_policy), _policy)
