"""The batches of a ledger: what was uploaded and started, so that a killed run waits for it and pays nothing twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from moa_graph.costs.ledger import Ledger

__all__ = ["Started", "Store"]

FILE, BATCH = "batch-file", "batch"
"""Roles of rows in the ledger: an uploaded file, and the batch that was made of it."""


@dataclass(frozen=True)
class Started:
    """An uploaded file of an earlier process.

    Attributes:
        base_url: The server.
        file: The file's id.
        ids: The custom ids of its requests.
        batch: The batch's id; None where the process ended before it was recorded.
    """

    base_url: str
    file: str
    ids: Sequence[str] = field(repr=False)
    batch: str | None


class Store:
    """Records uploads and batches."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def uploaded(self, base_url: str, file: str, ids: Sequence[str]) -> None:
        """Record a file before its batch is made."""
        await self._put(FILE, base_url, file, {"base_url": base_url, "file": file, "ids": list(ids)})

    async def made(self, base_url: str, file: str, batch: str) -> None:
        """Record the batch of a file."""
        await self._put(BATCH, base_url, file, {"base_url": base_url, "file": file, "batch": batch})

    async def started(self) -> list[Started]:
        """Return the files of this ledger's run, the oldest first."""
        batches = {(row["base_url"], row["file"]): row["batch"] for row in await self._ledger.values(BATCH)}
        return [
            Started(row["base_url"], row["file"], row["ids"], batches.get((row["base_url"], row["file"])))
            for row in await self._ledger.values(FILE)
        ]

    async def _put(self, role: str, base_url: str, file: str, value: dict[str, Any]) -> None:
        key = hashlib.sha256(f"{self._ledger.run}\0{role}\0{base_url}\0{file}".encode()).hexdigest()
        await self._ledger.put(key, value, role=role, cost=0.0)
