"""Connections: an aiohttp session per event loop, and the SDK's own transport for what goes through the SDK."""

from __future__ import annotations

import functools
import ssl
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2

from moa_graph.models.openai_http.per_loop import PerLoop

KEEPALIVE = 90.0
"""Seconds for which an idle connection is kept: longer than a slow round of proposers."""

_NO_LIMIT = aiohttp.ClientTimeout(total=None)
"""Deadlines belong to the caller, who knows what a call may take."""


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE),
        timeout=_NO_LIMIT,
        # A provider's cookies would go along to whatever the next caller asks there.
        cookie_jar=aiohttp.DummyCookieJar(),
    )


SESSIONS: PerLoop[aiohttp.ClientSession] = PerLoop(_session, lambda session: session.close())


@functools.cache
def certificates() -> ssl.SSLContext:
    """What the SDK trusts. Made once, and only for https: it takes 20 ms and an import of its own."""
    return httpx2.create_ssl_context()


def trust(url: str) -> ssl.SSLContext | bool:
    """What a request to `url` must be told about certificates."""
    return certificates() if url.startswith("https:") else True


def proxy_for(url: str) -> str | None:
    """The proxy that the environment sets for a URL; asked once per model, not per request."""
    target = httpx2.URL(url)
    proxies = getproxies()
    proxy = proxies.get(target.scheme) or proxies.get("all")
    return None if not proxy or proxy_bypass(target.host) else proxy


class LoopTransport(httpx2.AsyncBaseTransport):
    """The SDK's HTTP transport, one per event loop, so that one client object serves them all."""

    def __init__(self, proxy: str | None = None) -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEPALIVE)

        def make() -> httpx2.AsyncHTTPTransport:
            return httpx2.AsyncHTTPTransport(verify=certificates(), limits=limits, proxy=proxy)

        self._transports = PerLoop(make, _close)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await (await self._transports.get()).handle_async_request(request)


@functools.cache
def transport(proxy: str | None) -> LoopTransport:
    """The one transport for a proxy: models come and go, and each with connections of its own would leave them open."""
    return LoopTransport(proxy)


async def _close(transport: httpx2.AsyncHTTPTransport) -> None:
    try:
        await transport.aclose()
    except RuntimeError:
        # Its loop was closed without a shutdown: the connections went with it.
        return
