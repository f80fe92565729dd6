"""The provider as a thread of this process, or as its own process."""

import asyncio
import contextlib
import resource
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from tests.provider.protocol import Connection
from tests.provider.record import Log, Request

with contextlib.suppress(ImportError):
    import uvloop


def new_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's loop if it is installed: the server should use less CPU than the code under test."""
    return uvloop.new_event_loop() if "uvloop" in globals() else asyncio.new_event_loop()


class Provider:
    """A server in a thread. `url` ends in /v1; `reset` starts a new log, without requests still open."""

    def __init__(self, port: int = 0, keep: int | None = None) -> None:
        self.port, self.keep = port, keep
        self.log = Log(keep=keep)
        self.loop = new_loop()
        self._alive: set[Connection] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="provider", daemon=True)
        self._thread.start()
        self._ready.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/v1"

    def requests(self, model: str | None = None) -> list[Request]:
        """Requests of this period in order of arrival: chat completions of `model`, or all of every kind."""
        return [each for each in list(self.log.requests) if model is None or each.model == model]

    def stats(self) -> dict[str, Any]:
        """Counts of requests, outcomes, connections, in flight and its peak; `models` has them by model."""
        return self.log.stats()

    def reset(self) -> None:
        self.log = Log(keep=self.keep, held=self.log.held)

    def release(self) -> None:
        """Let the models that are `held` in the middle of their answers go on."""
        held = self.log.held

        def go_on() -> None:
            while held:
                held.pop(0)()

        self.loop.call_soon_threadsafe(go_on)

    def wait(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 30.0) -> dict[str, Any]:
        """Poll `stats` until the condition holds; return the last stats in any case, for an assertion."""
        end = time.monotonic() + seconds
        while not condition(found := self.stats()) and time.monotonic() < end:
            time.sleep(0.005)
        return found

    def close(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(self._listen())
        self._ready.set()
        try:
            self.loop.run_forever()
        finally:
            server.close()
            for connection in list(self._alive):
                connection.reset()
            self.loop.run_until_complete(asyncio.sleep(0.01))  # lost connections are reported in the next iterations
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    async def _listen(self) -> asyncio.Server:
        server = await self.loop.create_server(
            lambda: Connection(lambda: self.log, self.reset, self._alive),
            "127.0.0.1",
            self.port,
            backlog=4096,
        )
        self.port = server.sockets[0].getsockname()[1]
        return server


def raise_file_limit() -> None:
    """Raise the limit of open files, because many connections need many descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
