"""The serve app on a free loopback port, in a thread of this process, with mixtures of the loopback provider."""

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import uvicorn

from moa_graph import Mixture
from moa_graph.serve.access import Policy
from moa_graph.serve.app import create_app
from moa_graph.serve.catalogue import Catalogue
from tests.provider import Provider


def model(provider: Provider, behaviour: str, **fields: Any) -> dict[str, Any]:
    """Return a model of the loopback provider. Its name, `behaviour`, controls its behaviour."""
    return {"model": f"openai:{behaviour}", "base_url": provider.url, **fields}


def mixture(provider: Provider, *proposers: str, aggregator: str, **fields: Any) -> Mixture:
    """A mixture of the loopback provider's models."""
    specs = [model(provider, name, name=name.partition("-")[0]) for name in proposers]
    return Mixture(proposers=specs, aggregator=model(provider, aggregator), **{"max_attempts": 1, **fields})


class Served:
    """The app in a thread. `url` has no path."""

    def __init__(self, mixtures: Mapping[str, Mixture], policy: Policy | None = None, **options: Any) -> None:
        app = create_app(Catalogue(mixtures), policy, **options)
        self.app = app
        config = uvicorn.Config(app, port=0, loop="asyncio", log_level="warning", timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="served", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(10)
