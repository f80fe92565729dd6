"""One batch at its server: made once, waited for, read. Failures that may pass are waited for, as long as it takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from moa_graph.batch.api.endpoints import ENDED, EndpointError, Endpoints
from moa_graph.models.batching import BatchReply
from moa_graph.models.secrets.redaction import one_line

__all__ = ["make_once", "patiently", "replies_at_end"]

_log = logging.getLogger("moa_graph.batch")

P = ParamSpec("P")
T = TypeVar("T")


async def make_once(endpoints: Endpoints, file: str) -> str:
    """Make the batch of a file once, even if the connection is lost, and return its id.

    Args:
        endpoints: The server.
        file: The id of the uploaded requests.

    Raises:
        EndpointError: The server refused the file, or it has made a batch that it does not name.
    """
    while True:
        try:
            return await endpoints.create(file)
        except EndpointError as exc:
            failure = exc
        made = failure.status is not None and failure.status < 300
        if not made and failure.status is not None and failure.status < 500 and failure.status != 429:
            raise failure
        _log.warning("batch: %s. It is tried again.", one_line(str(failure)))
        await asyncio.sleep(1.0)
        # The batch may have been made although the reply was lost.
        if (found := await patiently(endpoints.find, file)) is not None:
            return found
        if made:
            # It exists somewhere, and a second one would be paid for as well.
            raise failure


async def replies_at_end(endpoints: Endpoints, batch: str, *, poll: float) -> dict[str, BatchReply]:
    """Wait for the end of a batch and return its replies by custom id, failed ones included.

    Args:
        endpoints: The server.
        batch: The batch's id.
        poll: The longest time in seconds between two looks at it.

    Raises:
        EndpointError: The batch was refused as a whole.
    """
    wait = min(1.0, poll)
    while (status := await patiently(endpoints.status, batch)).state not in ENDED:
        await asyncio.sleep(wait)
        wait = min(wait * 1.5, poll)
    found: dict[str, BatchReply] = {}
    for file in status.files:
        # A request may be in both files. Its successful reply is kept.
        for custom, reply in (await patiently(endpoints.replies, file)).items():
            if custom not in found or reply.status < 300:
                found[custom] = reply
    if status.state == "failed" and not found:
        raise EndpointError(f"batch {batch} failed: {status.reason or 'no reason given'}", 400)
    return found


async def patiently(call: Callable[P, Awaitable[T]], *arguments: P.args, **named: P.kwargs) -> T:
    """Make a call that changes nothing that is paid for, again after a while where the server cannot answer.

    Raises:
        EndpointError: The server has refused the call.
    """
    wait = 0.5
    while True:
        try:
            return await call(*arguments, **named)
        except EndpointError as exc:
            if exc.status is not None and exc.status < 500 and exc.status not in (408, 409, 429):
                raise
            _log.warning("batch: %s. It is tried again.", one_line(str(exc)))
        await asyncio.sleep(wait)
        wait = min(2 * wait, 30.0)
