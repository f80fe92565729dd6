"""Collect the requests of many runs until all of them wait, send them as batches, and hand out the replies.

The runs know nothing of it: each waits for its model's reply. A run that is killed finds its batches in the ledger; its
requests then get the replies of those batches and are not sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import orjson

from moa_graph.batch.api.endpoints import MAX_BYTES, MAX_LINES, EndpointError, Endpoints, Line
from moa_graph.batch.api.store import Started, Store
from moa_graph.batch.api.waiting import make_once, patiently, replies_at_end
from moa_graph.costs.ledger import Ledger
from moa_graph.errors import ConfigError
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.batching import BatchReply, active, call_key
from moa_graph.models.faults.faults import Fault, ProviderError
from moa_graph.models.secrets.keys import host
from moa_graph.models.secrets.redaction import one_line

__all__ = ["HOSTS", "BatchApi"]

_log = logging.getLogger("moa_graph.batch")

_OF_NO_USE = frozenset({400, 404, 410})
"""Statuses that say that a batch has failed as a whole, or that the server no longer has it."""

_LOOK = 1.0
"""Seconds between two looks for the ledger."""

HOSTS = frozenset({"api.openai.com", "api.together.xyz"})
"""Hosts that document a Batch API for chat completions."""

_run: ContextVar[object | None] = ContextVar("batched_run", default=None)


@dataclass
class _Waiting:
    """A request that waits for its reply."""

    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    digest: str
    model: str
    reply: asyncio.Future[BatchReply | None] = field(repr=False)


@dataclass
class BatchApi:
    """Sends the requests of runs through Batch APIs.

        async with BatchApi(ledger).running() as api:
            ...  # runs inside `with api.run():`

    Attributes:
        ledger: Records batches, so that a killed run resumes them.
        hosts: The hosts whose requests are sent in batches.
        direct: Whether requests that a batch did not answer are sent directly, at the full price. Otherwise they are
            sent in another batch.
        quiet: Seconds without a further request after which a layer is taken to be complete.
        poll: The longest time in seconds between two looks at a batch.
        sent: Batches that this process has started.
    """

    ledger: Ledger
    hosts: frozenset[str] = HOSTS
    direct: bool = False
    quiet: float = 0.5
    poll: float = 30.0
    sent: int = 0

    def __post_init__(self) -> None:
        self._store = Store(self.ledger)
        self._runs: Counter[object] = Counter()
        self._queue: list[_Waiting] = []
        self._numbers: Counter[str] = Counter()
        self._kept: dict[str, deque[tuple[str, Started]]] = defaultdict(deque)
        self._endpoints: dict[str, Endpoints] = {}
        self._fetched: dict[tuple[str, str], asyncio.Task[dict[str, BatchReply]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._moved = asyncio.Event()
        self._arrived = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[BatchApi]:
        """Take the requests of all runs that are started inside."""
        for started in await self._store.started():
            for custom in started.ids:
                digest, _, number = custom.rpartition("-")
                self._numbers[digest] = max(self._numbers[digest], int(number) + 1)
                self._kept[f"{started.base_url} {digest}"].append((custom, started))
        token = active.set(self)
        steady = [asyncio.create_task(self._flush_layers()), asyncio.create_task(self._keep_ledger())]
        try:
            yield self
        finally:
            active.reset(token)
            for task in (*steady, *self._tasks, *self._fetched.values()):
                task.cancel()
            await asyncio.gather(*steady, *self._tasks, *self._fetched.values(), return_exceptions=True)
            for endpoints in self._endpoints.values():
                await endpoints.close()

    @contextmanager
    def run(self) -> Iterator[None]:
        """Count what happens inside as one run: a layer is sent when every run waits for a reply."""
        mine = object()
        token = _run.set(mine)
        self._runs[mine] = 0
        try:
            yield
        finally:
            _run.reset(token)
            del self._runs[mine]
            self._moved.set()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the run as waiting, so that the requests of others are sent meanwhile: it waits for its turn."""
        mine = _run.get()
        known = mine in self._runs
        if known:
            self._runs[mine] += 1
            self._moved.set()
        try:
            yield
        finally:
            if known and mine in self._runs:
                self._runs[mine] -= 1

    def hosts_of(self, specs: Iterable[Proposer]) -> list[str]:
        """Return the hosts of these models whose requests are sent in batches."""
        return sorted({where for spec in specs if (where := host(spec)) in self.hosts and where is not None})

    def takes(self, host: str) -> bool:
        return host in self.hosts

    async def send(self, base_url: str, headers: Mapping[str, str], body: bytes) -> BatchReply | None:
        # The call's key keeps equal requests apart, such as samples: a resumed call gets its own reply.
        digest = hashlib.sha256(b"\0".join([base_url.encode(), call_key.get().encode(), body])).hexdigest()[:40]
        model = str(orjson.loads(body).get("model"))
        request = _Waiting(base_url, headers, body, digest, model, asyncio.get_running_loop().create_future())
        mine = _run.get()
        if mine in self._runs:
            self._runs[mine] += 1
        try:
            if (kept := await self._of_earlier(request)) is not None:
                return kept
            self._queue.append(request)
            self._arrived += 1
            self._moved.set()
            return await request.reply
        finally:
            if mine in self._runs:
                self._runs[mine] -= 1
            if request in self._queue:
                self._queue.remove(request)
            self._moved.set()

    async def _of_earlier(self, request: _Waiting) -> BatchReply | None:
        """Return the reply from a batch of an earlier process; None if that batch is missing or has failed."""
        kept = self._kept[f"{request.base_url} {request.digest}"]
        while kept:
            custom, started = kept.popleft()
            try:
                replies = await asyncio.shield(self._fetch(started, request))
            except EndpointError as exc:
                if exc.status not in _OF_NO_USE:
                    raise
                _log.warning("batch: %s. Its requests are sent again.", one_line(str(exc)))
                continue
            if (found := replies.get(custom)) is not None and found.status < 300:
                return found
        return None

    def _fetch(self, started: Started, request: _Waiting) -> asyncio.Task[dict[str, BatchReply]]:
        place = started.base_url, started.file
        if place not in self._fetched:
            self._fetched[place] = asyncio.create_task(self._replies_of(started, self._at(request)))
        return self._fetched[place]

    async def _replies_of(self, started: Started, endpoints: Endpoints) -> dict[str, BatchReply]:
        batch = started.batch
        if batch is None:
            # The process ended between the batch and its record, or before the batch.
            batch = await patiently(endpoints.find, started.file)
            if batch is None:
                return {}
            await self._store.made(started.base_url, started.file, batch)
        return await replies_at_end(endpoints, batch, poll=self.poll)

    def _at(self, request: _Waiting) -> Endpoints:
        if request.base_url not in self._endpoints:
            self._endpoints[request.base_url] = Endpoints(request.base_url, request.headers)
        return self._endpoints[request.base_url]

    async def _flush_layers(self) -> None:
        while True:
            await self._moved.wait()
            self._moved.clear()
            while self._queue and self._complete():
                before = self._arrived
                await asyncio.sleep(self.quiet)
                if before == self._arrived and self._queue and self._complete():
                    self._flush()

    async def _keep_ledger(self) -> None:
        """Look for the ledger while batches run, which takes hours without a call: it alone knows their ids."""
        said = ""
        while True:
            await asyncio.sleep(_LOOK)
            try:
                await self.ledger.stay()
            except ConfigError as exc:
                if str(exc) != said:
                    said = str(exc)
                    _log.warning("batch: %s. The ids of the batches that run may be lost.", one_line(said))

    def _complete(self) -> bool:
        """Return whether every run waits for a reply."""
        return all(self._runs.values())

    def _flush(self) -> None:
        """Send what has been collected: one batch for each server and model, since OpenAI takes one model a file."""
        groups: dict[tuple[str, str], list[_Waiting]] = defaultdict(list)
        for request in self._queue:
            groups[request.base_url, request.model].append(request)
        self._queue.clear()
        for group in groups.values():
            for part in _parts(group):
                task = asyncio.create_task(self._send(part))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _send(self, group: Sequence[_Waiting]) -> None:
        endpoints, lines = self._at(group[0]), list[Line]()
        for request in group:
            number = self._numbers[request.digest]
            self._numbers[request.digest] += 1
            lines.append(Line(f"{request.digest}-{number}", request.body))
        try:
            file = await patiently(endpoints.upload, lines)
            await self._store.uploaded(group[0].base_url, file, [line.id for line in lines])
            batch = await make_once(endpoints, file)
            await self._store.made(group[0].base_url, file, batch)
            self.sent += 1
            replies = await replies_at_end(endpoints, batch, poll=self.poll)
        except EndpointError as exc:
            said = one_line(f"batch: {exc}")
            if exc.status is not None and exc.status < 300:
                # Not retried: the batch may be paid for.
                _fail(group, ProviderError(Fault("malformed", False, None, None, said)))
                return
            replies, missing = {}, BatchReply(exc.status or 502, {"error": {"message": said}})
        except Exception as exc:
            # A request without a reply would wait forever. The ledger's disk may be full.
            _fail(group, exc)
            return
        else:
            missing = BatchReply(502, {"error": {"message": f"batch {batch} ended without a reply to this request"}})
        for request, line in zip(group, lines, strict=True):
            reply = replies.get(line.id, missing)
            if not request.reply.done():
                request.reply.set_result(None if self.direct and reply.status >= 300 else reply)


def _fail(group: Sequence[_Waiting], error: Exception) -> None:
    for request in group:
        if not request.reply.done():
            request.reply.set_exception(error)


def _parts(group: Sequence[_Waiting]) -> Iterator[list[_Waiting]]:
    """Yield the group in parts that one file may hold."""
    part, size = list[_Waiting](), 0
    for request in group:
        if part and (len(part) >= MAX_LINES or size + len(request.body) > MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(request)
        size += len(request.body) + 200
    yield part
