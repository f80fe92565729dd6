"""The hook by which requests are sent through a provider's Batch API and not one by one.

A program that answers many questions at once sets `active` around its runs. The HTTP layer then hands it the requests
to hosts that it takes, and waits for their replies. `moa_graph.batch.api` implements it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from moa_graph.mixture.proposer import Proposer
from moa_graph.models.secrets.keys import host

__all__ = ["TIER", "BatchReply", "Batcher", "active", "batched", "batcher_for", "call_key", "of_batch"]

TIER = "batch"
"""The service tier of a reply that came from a batch, as OpenAI names the others."""


class BatchReply(NamedTuple):
    """The reply to one request of a batch: an HTTP status, and the body as JSON."""

    status: int
    body: dict[str, Any]


class Batcher(Protocol):
    """Sends requests in batches."""

    def takes(self, host: str) -> bool:
        """Return whether requests to `host` are sent in batches."""

    async def send(self, base_url: str, headers: Mapping[str, str], body: bytes) -> BatchReply | None:
        """Return the reply to a chat request, possibly hours later; None asks the caller to send it directly."""


active: ContextVar[Batcher | None] = ContextVar("batcher", default=None)
"""The batcher of this task and of the tasks that it starts."""

call_key: ContextVar[str] = ContextVar("call_key", default="")
"""The key of the call that this task makes. Equal requests of different calls keep their own replies after a kill."""


def batched(spec: Proposer) -> bool:
    """Return whether the model's requests are sent in batches now. No rate limit applies to those."""
    batcher = active.get()
    return batcher is not None and (where := host(spec)) is not None and batcher.takes(where)


def of_batch(message: object) -> bool:
    """Return whether a message came from a batch, which has a price of its own."""
    metadata = getattr(message, "response_metadata", None)
    return isinstance(metadata, Mapping) and metadata.get("service_tier") == TIER


def batcher_for(base_url: str) -> Batcher | None:
    """Return the batcher that takes requests to `base_url` now, if any."""
    batcher = active.get()
    return batcher if batcher is not None and batcher.takes(urlsplit(base_url).netloc) else None
