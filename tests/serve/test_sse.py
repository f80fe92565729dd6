"""Streams end at any speed of the writer, and with an end from either side."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from moa_graph.serve.sse import EventStream

FULL = 256
"""As many parts as wait for the writer at most."""


async def sent(stream: EventStream) -> bytes:
    """Return the text that a client gets if it reads to the end."""
    body, left = bytearray(), asyncio.Event()

    async def receive():
        await left.wait()

    async def send(message):
        body.extend(message.get("body", b""))

    async with asyncio.timeout(60):
        await stream({"type": "http"}, receive, send)
    return bytes(body)


async def burst(count: int) -> AsyncGenerator[str]:
    """Parts without a pause between them."""
    for n in range(count):
        yield f"{n}\n"


@pytest.mark.parametrize("count", [0, 1, FULL - 1, FULL, FULL + 1, 3 * FULL])
async def test_a_burst_comes_whole_and_ends(count):
    body = await sent(EventStream(burst(count), heartbeat=0.1))
    lines = [line for line in body.decode().split("\n") if line and not line.startswith(":")]
    assert lines == [str(n) for n in range(count)]


async def test_a_client_that_leaves_while_all_is_full_ends_what_makes_the_parts():
    ended, full = asyncio.Event(), asyncio.Event()

    async def parts():
        try:
            for n in range(FULL + 2):
                if n == FULL + 1:
                    full.set()
                yield f"{n}\n"
        finally:
            ended.set()

    async def receive():
        await full.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if message.get("body"):
            # A client that does not read: the writer waits for it.
            await asyncio.Event().wait()

    async with asyncio.timeout(60):
        await EventStream(parts())({"type": "http"}, receive, send)
    assert ended.is_set()
