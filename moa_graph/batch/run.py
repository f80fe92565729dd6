"""Run a batch: read a file's questions and write a file of results in the same order.

A result is stored in the ledger as soon as it arrives and is copied from there into the file in order. Memory use stays
constant, and a killed run resumes. Errors are not stored: the next run asks again.
"""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from moa_graph.batch.in_order import in_order
from moa_graph.batch.part_file import written
from moa_graph.batch.questions import WHOLE, BadLine, Question, Shard, count, read, require_lines
from moa_graph.batch.results import BatchResult, Graph, answered, failed
from moa_graph.costs.ledger import Ledger
from moa_graph.costs.spending_cap import SpendingCap
from moa_graph.errors import BudgetError, ConfigError, InputError, ServerError
from moa_graph.graph.recording import is_recorded

_PATIENCE = (0.5, 1, 2, 4, 8, 16, 30, 30)
"""Seconds between the attempts to reach a server that became unreachable during the run."""

_SHOWN = 200
"""Problems kept in `Totals`; the output file has all of them."""


@dataclass
class Totals:
    """The progress of a batch.

    Attributes:
        lines: The number of questions, bad lines included.
        done: Questions that have a result.
        resumed: Questions whose result comes from an earlier run.
        failed: Questions that ended with an error.
        bad: Lines that are not questions.
        cost: Dollars spent.
        unpriced: Questions whose cost is not fully known; `cost` contains an estimate of them, or nothing.
        problems: The first errors, one line each.
        mixtures: Hashes of the mixtures that answered.
    """

    lines: int = 0
    done: int = 0
    resumed: int = 0
    failed: int = 0
    bad: int = 0
    cost: float = 0.0
    unpriced: int = 0
    problems: list[str] = field(default_factory=list)
    mixtures: set[str] = field(default_factory=set)


class _Receipt(NamedTuple):
    """A result that waits for its turn: its key in the ledger, or the error itself."""

    line: int
    id: str | int
    key: str | None
    result: BatchResult | None


@dataclass
class Batch:
    """A batch of one graph.

        totals = await Batch(graph, source, target, ledger, mixture.hash).run()

    Attributes:
        graph: The mixture, in this process or on a server.
        source: The JSONL file of questions.
        target: The JSONL file of results.
        ledger: Stores results and calls, so that a stopped batch resumes.
        who: Identifies the graph in the ledger: a mixture's hash or a server's address. Results of another mixture are
            not reused.
        shard: The part of the lines to run.
        concurrency: Questions that run at once.
        max_cost: Limit in dollars for the whole batch, earlier runs included; None for no limit.
        context: Fields of `MoAContext` that every question gets.
        keep_drafts: Whether results contain the drafts.
        patience: Waits between attempts, in seconds, while a server is unreachable.
        totals: The progress, updated while the batch runs.
    """

    graph: Graph
    source: Path
    target: Path
    ledger: Ledger
    who: str
    shard: Shard = WHOLE
    concurrency: int = 16
    max_cost: float | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    keep_drafts: bool = False
    patience: tuple[float, ...] = _PATIENCE
    totals: Totals = field(default_factory=Totals)
    _kept: dict[str, float] = field(default_factory=dict, init=False)

    async def run(self) -> Totals:
        """Run the batch and write `target`. A stopped run leaves its results in `target` with `.part` appended.

        Returns:
            The totals.

        Raises:
            InputError: `target` cannot be replaced, or is `source` or the ledger; or `source` has no lines of text.
            ConfigError: Every question would fail (a key, a price, the ledger), or another run writes the same file.
            ServerError: The server stayed unreachable.
            OSError: A file cannot be read or written.
        """
        require_target(self.target)
        if self.target.resolve() == self.source.resolve():
            raise InputError(f"{self.target}: is the file of questions. Choose another output.")
        part = self.target.with_name(self.target.name + ".part")
        if self.ledger.path.resolve() in (self.target.resolve(), part.resolve()):
            raise InputError(f"{self.ledger.path}: is the ledger, which the answers would replace. Name another file.")
        require_lines(self.source, str(self.source))
        self.totals.lines = count(self.source, self.shard)
        self._cap = SpendingCap(self.max_cost)
        try:
            await self._write(part)
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                message = f"{part.name}: {exc.strerror}. Finished results are in the ledger. Free space and run again."
                raise ConfigError(message) from exc
            raise
        return self.totals

    async def _write(self, part: Path) -> None:
        with written(part, self.target) as out:
            if self.max_cost is not None:
                await self._recall()
            async with in_order(read(self.source, self.shard), self._work, concurrency=self.concurrency) as receipts:
                async for receipt in receipts:
                    out.write(await self._line(receipt) + "\n")

    async def _recall(self) -> None:
        """Count the results of earlier runs, anywhere in the file, and what failed, before anything more is spent."""
        lost = await self.ledger.lost()
        self._cap.recall([row["cost"] for row in lost])
        found = {row["key"]: row["kept"] for row in lost}
        for entry in read(self.source, self.shard):
            if not isinstance(entry, Question):
                continue
            key = self._key(entry)
            if result := await self.ledger.get(key):
                self._count(result)
            elif kept := found.get(key):
                self._kept[key] = kept
                self._cap.spent += kept
        self.totals.cost = self._cap.spent

    async def _work(self, entry: Question | BadLine) -> _Receipt:
        receipt = await self._receipt(entry)
        self.totals.done += 1
        if receipt.result and (error := receipt.result["error"]):
            self.totals.failed += 1
            if len(self.totals.problems) < _SHOWN:
                self.totals.problems.append(f"line {receipt.line}: {error['message']}")
        return receipt

    async def _receipt(self, entry: Question | BadLine) -> _Receipt:
        if isinstance(entry, BadLine):
            self.totals.bad += 1
            return _Receipt(entry.line, entry.id, None, failed(InputError(entry.reason)))
        key = self._key(entry)
        kept = await self.ledger.get(key)
        if kept is not None:
            self.totals.resumed += 1
            if self.max_cost is None:
                self._count(kept)
            return _Receipt(entry.line, entry.id, key, None)
        return await self._ask(entry, key)

    async def _ask(self, entry: Question, key: str) -> _Receipt:
        try:
            async with self._cap.reserve() as allowed:
                context = {**self.context, "item": entry.item}
                if allowed is not None:
                    context["max_cost"] = min(allowed, context.get("max_cost", allowed))
                result = await self._patiently(entry, context)
                await self._paid(result, entry, key)
        except BudgetError as error:
            result = failed(error)
        if result["error"]:
            return _Receipt(entry.line, entry.id, None, result)
        await self.ledger.put(key, result, item=entry.item, role="item", model=self.who, cost=result["cost"])
        return _Receipt(entry.line, entry.id, key, None)

    async def _patiently(self, entry: Question, context: Mapping[str, Any]) -> BatchResult:
        for wait in self.patience:
            try:
                return await answered(self.graph, entry.messages, context)
            except ServerError:
                await asyncio.sleep(wait)
        return await answered(self.graph, entry.messages, context)

    def _key(self, entry: Question) -> str:
        return self.ledger.call_key(
            item=entry.item,
            layer=0,
            slot=0,
            role="item",
            repeat=0,
            model=self.who,
            params=self.context,
            messages=entry.messages,
        )

    async def _paid(self, result: BatchResult, entry: Question, key: str) -> None:
        """Count a new result. What a failed one cost is noted for the next runs, its recorded calls apart."""
        before = self._cap.spent
        self._count(result)
        whole = self._cap.spent - before
        self._cap.spent -= self._kept.pop(key, 0.0)
        self.totals.cost = self._cap.spent
        if result["error"]:
            made = [*result["drafts"], *result["notes"]]
            kept = sum(each["cost"] or 0.0 for each in made if is_recorded(each))
            await self.ledger.lose(whole - kept, item=entry.item, kept=kept, key=key)

    def _count(self, result: BatchResult) -> None:
        self._cap.pay(result["cost"], whole=not result["error"])
        self.totals.cost, self.totals.unpriced = self._cap.spent, self._cap.unknown
        if not result["error"]:
            self.totals.mixtures.add(result["mixture"])

    async def _line(self, receipt: _Receipt) -> str:
        result = receipt.result if receipt.key is None else await self.ledger.get(receipt.key)
        if result is None:
            raise ConfigError(f"ledger {self.ledger.path.name}: a result was removed from it while the batch ran.")
        hidden = {"notes"} if self.keep_drafts else {"drafts", "notes"}
        shown = {name: value for name, value in result.items() if name not in hidden}
        # ASCII only, so that no reader splits a line inside a string.
        return json.dumps({"line": receipt.line, "id": receipt.id, **shown})


def require_target(target: Path) -> None:
    """Check that the output is a regular file or does not exist: a finished batch takes the place of what is there.

    Raises:
        InputError: It is a folder, a device or a pipe, or stands among the devices, such as `/dev/stdout`.
    """
    if (target.exists() and not target.is_file()) or target.absolute().parent == Path("/dev"):
        raise InputError(f"{target}: a folder or not a regular file. Choose another output; - is standard output.")
