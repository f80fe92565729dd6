"""A mixture on an Agent Server, with the input, output, events and errors of the local graph.

async with RemoteMoA("http://localhost:2024") as graph:
    out = await graph.ainvoke({"messages": "What is the capital of France?"})
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import httpx
from langchain_core.runnables import RunnableConfig
from langgraph.pregel.remote import RemoteException, RemoteGraph
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import APIStatusError, InternalServerError, LangGraphError, NotFoundError, RateLimitError
from langgraph_sdk.schema import RunCreateMetadata

from moa_graph import errors
from moa_graph.errors import ConfigError, InputError, MoAError, ServerError
from moa_graph.graph.owned import owned
from moa_graph.graph.remote_form import as_config, as_context, as_local, as_sent
from moa_graph.mixture.addresses import is_address, without_credentials
from moa_graph.models.http.proxies import httpx_transport
from moa_graph.models.secrets.keys import sendable
from moa_graph.state import Draft, Event, by_place

KEY = "MOA_SERVER_KEY"
"""The environment variable with the server's key, which is sent as `x-api-key`. No other key is sent."""

_TIMES = httpx.Timeout(30, read=300, pool=None)
"""Seconds. A server sends a heartbeat every few seconds during a run; a long silence means that it is gone."""

SILENCE = 20.0
"""Seconds without an event after which the server is asked whether the run still runs. Some servers continue to send
heartbeats after the worker of the run has died."""

_ON = frozenset({"pending", "running"})
_NOTHING = object()
_OF_THE_INPUT = frozenset({400, 413, 422})


class RemoteMoA:
    """A graph of an Agent Server, called as a local graph is.

    Every run is stateless on the server: its thread is deleted after it, and the run is cancelled when the caller
    leaves. An instance belongs to the event loop that it is first used in.

    Args:
        url: The address of the server, with http:// or https://.
        graph: The name of the graph.

    Raises:
        ConfigError: The address, the key, or the environment's proxy or certificates cannot be used.
    """

    def __init__(self, url: str, *, graph: str = "moa") -> None:
        self.url = without_credentials(url).rstrip("/")  # as messages and ledgers show it
        if not is_address(url, credentials=True):
            form = "must start with http:// or https://, in ASCII, with an existing port and without query or fragment"
            raise ConfigError(f"url: {self.url!r} {form}, for example http://localhost:2024.")
        # The SDK's own client sends LangSmith's key to any host, opens at most 100 streams, and uses no proxy.
        transport = httpx_transport(url)
        headers = {"x-api-key": key} if (key := sendable(KEY, os.environ.get(KEY))) else {}
        self._client = LangGraphClient(
            httpx.AsyncClient(base_url=url, transport=transport, timeout=_TIMES, headers=headers)
        )
        self._graph = RemoteGraph(graph, client=self._client)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def ainvoke(
        self, input: Mapping[str, Any], config: RunnableConfig | None = None, *, context: Any = None
    ) -> dict[str, Any]:
        """Return the final state of a run: messages, and from the graph `moa` drafts and record.

        Args:
            input: The input of the graph.
            config: The config of the run. Its `configurable` has no effect, as for the local graph.
            context: A `MoAContext`, or a mapping of its fields.

        Raises:
            MoAError: As the local graph does, with the drafts that had arrived. `ServerError` for faults of the server.
        """
        last: dict[str, Any] = {}
        async with owned(self._parts(input, config, context, ["values"])) as parts:
            async for _, state in parts:
                last = state
        return last

    async def astream(
        self,
        input: Mapping[str, Any],
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        stream_mode: str | Sequence[str] = "updates",
    ) -> AsyncIterator[Any]:
        """Yield the parts of a run's stream: of one mode, or (mode, part) for a list of modes.

        Args:
            input: The input of the graph.
            config: The config of the run. Its `configurable` has no effect, as for the local graph.
            context: A `MoAContext`, or a mapping of its fields.
            stream_mode: A mode of LangGraph's streams, or several.

        Raises:
            MoAError: As `ainvoke` does.
        """
        alone = isinstance(stream_mode, str)
        modes = [str(stream_mode)] if alone else list(stream_mode)
        async with owned(self._parts(input, config, context, modes)) as parts:
            async for mode, part in parts:
                yield part if alone else (mode, part)

    async def _parts(
        self, input: Mapping[str, Any], config: RunnableConfig | None, context: Any, modes: list[str]
    ) -> AsyncGenerator[tuple[str, Any], None]:
        seen, begun = _Seen(), list[RunCreateMetadata]()
        wanted: Any = list(dict.fromkeys([*modes, "custom"]))
        stream: Any = self._graph.astream(
            {"messages": as_sent(input)},
            as_config(config),
            context=as_context(context),
            stream_mode=wanted,
            on_disconnect="cancel",
            # Another worker restarts the run of a worker that died. It must not find a half-finished state.
            durability="exit",
            on_run_created=begun.append,
        )
        try:
            async with owned(self._watched(stream, begun, seen)) as parts:
                async for part in parts:
                    mode, data = part[0], part[1]
                    if mode == "custom":
                        seen.note(data)
                    if mode in modes:
                        yield mode, as_local(mode, data)
        except RemoteException as exc:
            raise seen.error(exc.args[0] if exc.args else {}) from None
        except (httpx.TransportError, InternalServerError, RateLimitError) as exc:
            raise ServerError(f"the server at {self.url} did not answer: {_said(exc)}", drafts=seen.drafts) from exc
        except APIStatusError as exc:
            # A fault of this input, or of every input: a key, an address, a graph's name.
            of_input = exc.response.status_code in _OF_THE_INPUT and "Invalid assistant" not in str(exc)
            kind = InputError if of_input else ConfigError
            raise kind(f"the server at {self.url} refused the run: {_said(exc)}") from exc
        except LangGraphError as exc:
            raise ServerError(f"the server at {self.url}: {_said(exc)}", drafts=seen.drafts) from exc
        if not seen.finished:
            raise ServerError(f"the server at {self.url} ended the stream before the run was over", drafts=seen.drafts)

    async def _watched(
        self, stream: AsyncGenerator[Any, None], begun: Sequence[RunCreateMetadata], seen: _Seen
    ) -> AsyncGenerator[Any, None]:
        """Yield the parts of the stream. A silent stream of a run that is over on the server raises ServerError."""
        async with owned(stream) as stream:
            while True:
                following = asyncio.ensure_future(anext(stream, _NOTHING))
                try:
                    part = await self._next(following, begun, seen)
                finally:
                    following.cancel()  # no effect on a future that is done
                    while not following.done():
                        # The stream cannot be closed before. A second cancellation may come meanwhile.
                        with suppress(asyncio.CancelledError):
                            await asyncio.wait({following})
                if part is _NOTHING:
                    return
                yield part

    async def _next(self, following: asyncio.Future[Any], begun: Sequence[RunCreateMetadata], seen: _Seen) -> Any:
        over = False
        while not (await asyncio.wait({following}, timeout=SILENCE))[0]:
            if over:
                raise ServerError(f"the server at {self.url} did not report the end of the run", drafts=seen.drafts)
            # The last parts may be on their way: wait for them as long again.
            over = await self._over(begun)
        return following.result()

    async def _over(self, begun: Sequence[RunCreateMetadata]) -> bool:
        """Return whether the server says that the run has ended; False if it keeps no thread for the run."""
        run = begun[-1] if begun else None
        if run is None or run["thread_id"] is None:
            return False
        try:
            return (await self._client.runs.get(run["thread_id"], run["run_id"]))["status"] not in _ON
        except NotFoundError:
            return True


class _Seen:
    """What the custom events of a run have reported: its drafts, its end, and why it failed."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.finished = False
        self.failure: Event | None = None

    def note(self, event: Any) -> None:
        kind = event.get("moa") if isinstance(event, Mapping) else None
        if kind == "draft":
            self.drafts = by_place([*self.drafts, event["draft"]])
        elif kind == "failed":
            self.failure = dict(event)
        elif kind == "finished":
            self.finished = True

    def error(self, said: Any) -> MoAError:
        """Return the error that the local graph would have raised. Some servers report its name only."""
        given = said if isinstance(said, Mapping) else {"message": said}
        whole = {**given, **(self.failure or {})}
        name, message = str(whole.get("error")), str(whole.get("message") or whole.get("error"))
        if name in errors.__all__:
            kind: type[MoAError] = getattr(errors, name)
            return kind(message, drafts=self.drafts) if kind is not errors.MissingKeyError else kind(message)
        return MoAError(f"{name}: {message}", drafts=self.drafts)


def _said(exc: Exception) -> str:
    return " ".join(str(exc).split())[:300] or type(exc).__name__
