"""The source of answers of a command: a mixture in this process, or one on an Agent Server; both have one interface."""

from __future__ import annotations

from collections.abc import AsyncIterator
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


def server(url: str, graph: str, *mixture: Any) -> Server:
    """Return the server of `--url` and `--graph`.

    Raises:
        InputError: An option of `mixture` (a preset, a file, proposers) is given as well.
    """
    if any(mixture):
        raise InputError("--url uses the server's own mixture: remove --preset, --file, --proposer and --estimate.")
    return Server(url, graph)


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
