"""Connections: one aiohttp session per event loop, bounded replies, and the SDK's transport over the same session."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import io
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import Any

import aiohttp
import httpx2
from aiohttp.client_proto import ResponseHandler

from moa_graph.models.http.certificates import certificates
from moa_graph.models.http.inflate import PIECE, Inflate
from moa_graph.models.limits import (
    MAX_ERROR_BYTES,
    MAX_HEADER_BYTES,
    MAX_INTERIM_REPLIES,
    MAX_REPLY_BYTES,
    MAX_STREAM_BYTES,
    ReplyTooLarge,
)

_KEEPALIVE = 90.0
"""Seconds for which an idle connection is kept: longer than a slow round of proposers."""
_HEADERS = 1000

_ERROR_BODY = 2.0
"""Seconds for the body of an error. Its status is known already."""

_WORK = 0.004
"""Seconds of work on a reply after which other tasks get a turn."""

_open: dict[asyncio.AbstractEventLoop, tuple[aiohttp.ClientSession, AsyncGenerator[None]]] = {}


class _Stale(aiohttp.ServerDisconnectedError):
    """A kept connection cannot be used again. Nothing has been sent on it."""


class _Request(aiohttp.ClientRequest):
    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        # Two turns of the loop deliver what the server has sent since the last reply. A second reply that was not
        # requested would otherwise be taken for the answer to this request.
        for _ in range(2):
            await asyncio.sleep(0)
        protocol = conn.protocol
        if protocol is None or protocol.should_close or not protocol.is_connected():
            raise _Stale
        return await super().send(conn)


class _Connection(ResponseHandler):
    """A connection that limits what a server sends before and after its reply.

    aiohttp parses at once what arrived at once, and skips any number of interim replies (HTTP 1xx). 250 kB of them stop
    the event loop for 300 ms, again and again.
    """

    _heads = 0
    _head_bytes = 0
    _answered = False

    def set_response_params(self, **params: Any) -> None:
        """Prepare for the next reply."""
        self._heads, self._head_bytes, self._answered = 0, 0, False
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Parse in pieces, and abort the connection when a limit is exceeded."""
        for start in range(0, len(data) or 1, PIECE):
            piece = data[start : start + PIECE]
            super().data_received(piece)
            self._head_bytes += 0 if self._answered else len(piece)
            if self._head_bytes > MAX_HEADER_BYTES:
                return self._refuse(ReplyTooLarge("header of the reply", MAX_HEADER_BYTES))
            if self._heads > MAX_INTERIM_REPLIES:
                return self._refuse(ReplyTooLarge("row of interim replies", MAX_INTERIM_REPLIES, "replies"))
            if not self.is_connected():
                return None
        return None

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take the head of a reply."""
        code = data[0].code
        self._heads += 1
        self._answered = self._answered or code == 101 or not 100 <= code < 200
        super().feed_data(data, size)

    def resume_reading(self, *args: Any, **options: Any) -> None:
        """Resume after a pause. aiohttp also calls this, and then its parser, for each piece that it hands out."""
        if self._reading_paused:
            super().resume_reading(*args, **options)

    def _refuse(self, error: ReplyTooLarge) -> None:
        self.set_exception(error)
        if self.transport is not None:
            self.transport.abort()


async def _session() -> aiohttp.ClientSession:
    loop = asyncio.get_running_loop()
    if loop not in _open:
        for closed in [each for each in _open if each.is_closed()]:
            await _open.pop(closed)[0].close()
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE)
        make: Any = functools.partial(_Connection, loop=loop)
        connector._factory = make  # aiohttp has no parameter for it
        session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),  # deadlines belong to the caller
            cookie_jar=aiohttp.DummyCookieJar(),  # a provider's cookies would go along with the next caller's requests
            request_class=_Request,
            auto_decompress=False,
            max_line_size=MAX_HEADER_BYTES // 4,
            max_field_size=MAX_HEADER_BYTES // 4,
            max_headers=_HEADERS,
        )
        _open[loop] = session, (holder := _hold(loop, session))
        await anext(holder)
    return _open[loop][0]


async def _hold(loop: asyncio.AbstractEventLoop, session: aiohttp.ClientSession) -> AsyncGenerator[None]:
    """Close the session with its loop: `asyncio.run` finalizes a loop's generators before it closes the loop."""
    try:
        yield
    finally:
        _open.pop(loop, None)
        await session.close()
        await asyncio.sleep(0)  # the transports report their end in the loop's next turn


@atexit.register
def _close_all() -> None:
    """Close the sessions of loops that still run in other threads, such as the one behind sync calls."""
    for loop, (_, holder) in list(_open.items()):
        if loop.is_running():
            with contextlib.suppress(Exception):  # the interpreter ends: nothing else can be done
                asyncio.run_coroutine_threadsafe(holder.aclose(), loop).result(1.0)


class Transport(httpx2.AsyncBaseTransport):
    """Requests to one host. As the SDK's transport it works in every event loop, and its replies are bounded."""

    def __init__(self, base_url: str, proxy: str | None) -> None:
        self._ssl = certificates() if base_url.startswith("https:") else True
        self._proxy = proxy

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> aiohttp.ClientResponse:
        """Send one request and return the head of its reply."""
        return await self._send("POST", url, headers, body, None)

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: aiohttp.ClientTimeout | None
    ) -> aiohttp.ClientResponse:
        options: dict[str, Any] = {"timeout": timeout} if timeout else {}
        headers = {**headers, "accept-encoding": "identity"}
        session = await _session()
        with translated():
            for attempt in range(64):
                # Long bodies go out in pieces: sent whole they stop the event loop, and aiohttp warns.
                data = body if len(body) < 2**20 else await asyncio.to_thread(_in_pieces, body)
                try:
                    # A redirect would carry the conversation, and the key, to a host that is not the provider's.
                    return await session.request(
                        method, url, data=data, headers=headers, ssl=self._ssl, proxy=self._proxy,
                        allow_redirects=False, **options,
                    )  # fmt: skip
                except _Stale:
                    if attempt == 63:
                        raise
        raise AssertionError

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        given = request.extensions.get("timeout") or {}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=given.get("connect"), sock_read=given.get("read"))
        headers = {name: value for name, value in request.headers.items() if name not in ("host", "content-length")}
        response = await self._send(request.method, str(request.url), headers, await request.aread(), timeout)
        if not 200 <= response.status < 300:
            body = await error_body(response)
            return httpx2.Response(response.status, headers=decoded_headers(response), content=body)
        stream = "event-stream" in response.headers.get("content-type", "")
        pieces = body_of(response, MAX_STREAM_BYTES if stream else MAX_REPLY_BYTES)
        return httpx2.Response(response.status, headers=decoded_headers(response), stream=_Body(response, pieces))


def _in_pieces(body: bytes) -> io.BytesIO:
    """Return a body that aiohttp sends in pieces. The first view of it copies all of it, so it is taken here."""
    buffer = io.BytesIO(body)
    buffer.getbuffer().release()
    return buffer


class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse, pieces: AsyncGenerator[bytes]) -> None:
        self._response, self._pieces = response, pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces:
            yield piece

    async def aclose(self) -> None:
        self._response.close()
        await self._pieces.aclose()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn aiohttp's errors into httpx2's, which the SDK knows."""
    try:
        yield
    except TimeoutError as error:  # aiohttp's time limits derive from it
        raise httpx2.ReadTimeout(str(error)) from error
    except aiohttp.ClientResponseError as error:
        if error.message.startswith(("Got more than", "Too many headers")):
            raise ReplyTooLarge("header of the reply", MAX_HEADER_BYTES) from None
        # Without its cause: aiohttp gives its complaint the status 400, which no server has sent.
        raise httpx2.RemoteProtocolError(f"the server broke the HTTP protocol: {error.message}") from None
    except aiohttp.ServerDisconnectedError:
        # Within the head of a reply, its text is Python's notation of the headers so far, cookies included.
        raise httpx2.NetworkError("Server disconnected") from None
    except (aiohttp.ClientError, OSError, zlib.error) as error:
        raise httpx2.NetworkError(str(error) or type(error).__name__) from error


def decoded_headers(response: aiohttp.ClientResponse) -> list[tuple[bytes, bytes]]:
    """Return the reply's headers without those that describe an encoding which the body no longer has.

    They are bytes as they arrived: as texts, httpx takes only ASCII.
    """
    gone = ("content-encoding", "content-length", "transfer-encoding")
    return [(name, value) for name, value in response.raw_headers if name.decode("latin-1").lower() not in gone]


async def body_of(response: aiohttp.ClientResponse, limit: int) -> AsyncGenerator[bytes]:
    """Yield the decoded body piece by piece; on leaving early, or beyond `limit` bytes, close the connection.

    Raises:
        ReplyTooLarge: the body is larger than `limit`.
    """
    total, turns = 0, Turns()
    inflate = Inflate(response.headers.get("content-encoding", "identity").strip().lower())
    with translated():
        try:
            async for received in response.content.iter_any():
                total += len(received) if inflate.compressed else 0
                for piece in inflate(received):
                    total += len(piece)
                    if total > limit:
                        yield piece[: len(piece) - (total - limit)]
                        raise ReplyTooLarge("reply", limit)
                    yield piece
                    await turns.share()
        finally:
            # A reply that was read to its end has given its connection back; a 101 never does.
            response.close()


async def error_body(response: aiohttp.ClientResponse) -> bytes:
    """Return what can be read of the body of an error. Never raises: without it, the status is still known."""
    received: list[bytes] = []
    with contextlib.suppress(TimeoutError, ReplyTooLarge, httpx2.RequestError):
        async with asyncio.timeout(_ERROR_BODY), contextlib.aclosing(body_of(response, MAX_ERROR_BYTES)) as pieces:
            async for piece in pieces:
                received.append(piece)
    return b"".join(received)


class Turns:
    """Lets other tasks run while a task has more to read than it can wait for."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    async def share(self) -> None:
        """Give the other tasks a turn after four milliseconds of work."""
        if time.perf_counter() - self._since > _WORK:
            await asyncio.sleep(0)
            self._since = time.perf_counter()
