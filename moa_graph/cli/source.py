"""The source of answers of a command: a mixture in this process, or one on an Agent Server; both have one interface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from moa_graph.errors import InputError

if TYPE_CHECKING:
    from moa_graph.costs.ledger import Ledger
    from moa_graph.mixture.mixture import Mixture


class Server(NamedTuple):
    """A graph on an Agent Server."""

    url: str
    graph: str = "moa"


def server(url: str | None, graph: str | None, mixture: Mapping[str, Any]) -> Server | None:
    """Return the server of `--url` and `--graph`; None without `--url`.

    Args:
        url: The value of `--url`.
        graph: The value of `--graph`.
        mixture: Options of a mixture in this process, with their values.

    Raises:
        InputError: An option of `mixture` is given with `--url`, or `--graph` without it.
    """
    if url is None:
        if graph is not None:
            raise InputError("--graph needs --url: it names a graph of that server.")
        return None
    if given := [option for option, value in mixture.items() if value]:
        raise InputError(f"--url uses the server's own mixture: remove {', '.join(given)}.")
    return Server(url, graph or Server._field_defaults["graph"])


@asynccontextmanager
async def opened(source: Mixture | Server, *, ledger: Ledger | None = None) -> AsyncIterator[tuple[Any, str]]:
    """Yield the graph to call, and its identity: the mixture's hash, or the server's address.

    Raises:
        ConfigError: The mixture or the address is wrong.
    """
    if isinstance(source, Server):
        from moa_graph.graph.remote import RemoteMoA

        async with RemoteMoA(source.url, graph=source.graph) as remote:
            yield remote, f"{remote.url} {source.graph}"
        return
    from moa_graph.graph.build import create_moa

    yield create_moa(source, ledger=ledger), source.hash
