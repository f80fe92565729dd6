"""The options of Batch APIs, which `moa batch` and `moa eval` share. (typer reads the annotations.)"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from moa_graph.cli.output.messages import message
from moa_graph.errors import InputError
from moa_graph.state.value_text import given

if TYPE_CHECKING:
    from moa_graph.batch.api import BatchApi
    from moa_graph.costs.ledger import Ledger
    from moa_graph.mixture.proposer import Proposer

BatchMode = Annotated[
    bool,
    typer.Option("--batch-api", help="Send requests through the provider's Batch API: cheaper, a day for each layer."),
]
BatchHost = Annotated[
    list[str] | None,
    typer.Option(metavar="HOST", help="With --batch-api: another host, as host:port, that has OpenAI's endpoints."),
]
BatchDirect = Annotated[
    bool, typer.Option("--batch-direct", help="With --batch-api: send directly what a batch left unanswered.")
]
BatchPoll = Annotated[
    float, typer.Option(metavar="SECONDS", min=0.01, help="With --batch-api: time between two looks.")
]

POLL = 30.0
"""The default of `BatchPoll`, in seconds."""

AT_ONCE = 10_000
"""Questions at once through a Batch API: all of a layer's requests go into one batch."""


def batch_sender(
    ledger: "Ledger", *, mode: bool, hosts: list[str] | None, direct: bool, poll: float = POLL
) -> "BatchApi | None":
    """Return the sender of batches that the options describe; None without --batch-api.

    Raises:
        InputError: An option is given that has no effect without --batch-api.
    """
    check_batch_options(mode=mode, hosts=hosts, direct=direct)
    if not mode:
        return None
    from moa_graph.batch.api import HOSTS, BatchApi

    return BatchApi(ledger, hosts=HOSTS | frozenset(hosts or ()), direct=direct, poll=poll)


def goes_in_batches(specs: "Iterable[Proposer]", hosts: list[str] | None) -> bool:
    """Return whether a model is at a host with a Batch API.

    Args:
        specs: The models of a run.
        hosts: The hosts of --batch-host.
    """
    from moa_graph.batch.api import HOSTS
    from moa_graph.models.secrets.keys import host

    return any(host(spec) in HOSTS | frozenset(hosts or ()) for spec in specs)


def say_route(api: "BatchApi", specs: "Iterable[Proposer]", *, quiet: bool = False) -> None:
    """Print that no model of a run has a Batch API, or, unless `quiet`, which hosts get their requests in batches."""
    hosts = ", ".join(api.hosts_of(specs))
    if not hosts:
        message("--batch-api: no model of this run is at a host with a Batch API, so all calls are made directly")
    elif not quiet:
        message(
            f"requests to {hosts} go through its Batch API; a batch may take a day. A killed run waits for its batches"
        )


def check_batch_options(*, mode: bool, hosts: list[str] | None, direct: bool) -> None:
    """Refuse options that go with --batch-api, and what is not a host.

    Raises:
        InputError: One of them is given without it, or a host has a scheme or a path: no model would be at it, and
            every call would be made directly, at the full price.
    """
    if not mode and (hosts or direct):
        raise InputError("--batch-host and --batch-direct go with --batch-api.")
    for host in hosts or ():
        if not host or urlsplit(f"//{host}").netloc != host:
            raise InputError(
                f"--batch-host: expected host:port, without http:// and without a path, got {given(host)}."
            )
