"""The options of Batch APIs, which `moa batch` and `moa eval` share. (typer reads the annotations.)"""

from typing import TYPE_CHECKING, Annotated

import typer

from moa_graph.errors import InputError

if TYPE_CHECKING:
    from moa_graph.batch.api import BatchApi
    from moa_graph.costs.ledger import Ledger

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
"""Questions at once with --batch-api: all of a layer's requests go into one batch."""


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


def check_batch_options(*, mode: bool, hosts: list[str] | None, direct: bool) -> None:
    """Refuse options that go with --batch-api.

    Raises:
        InputError: One of them is given without it.
    """
    if not mode and (hosts or direct):
        raise InputError("--batch-host and --batch-direct go with --batch-api.")
