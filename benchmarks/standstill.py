"""How long the event loop stands still while large texts pass: 10 MB drafts, and requests of 19 MB to `moa serve`."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import uvicorn

from benchmarks.report import Row, row
from moa_graph import Mixture, MoAContext, Proposer, create_moa
from moa_graph.cli.garbage import loaded_frozen
from moa_graph.serve.app import create_app
from moa_graph.serve.catalogue import Catalogue
from tests.loop_watch import LoopWatch

SIZES = {3: 450_000, 10: 1_500_000}
"""Megabytes of a draft, and the loopback provider's words for it. Texts above 4 MB are refused."""
REQUEST_BYTES = 19_000_000
MESSAGES = 600_000
LONGEST_MS = 50.0


async def standstill(base: str) -> list[Row]:
    """The longest time that the loop stands still, for each kind of large text."""
    rows = []
    for megabytes, tokens in SIZES.items():
        # No `max_tokens`: the provider would end the draft there. A sibling, since 10 MB is above the limit of a text.
        models = [f"openai:big-tok={tokens}-chunk=20000", "openai:small-tok=2"]
        specs = [Proposer(model=model, base_url=f"{base}/v1") for model in models]
        last = Proposer(model="openai:agg-tok=2", base_url=f"{base}/v1", window=10_000_000)
        graph = create_moa(proposers=specs, aggregator=last)
        for streamed in (False, True):
            worst = []
            await graph.ainvoke({"messages": "What is imported by the first call does not count."})
            for _ in range(3):
                async with LoopWatch() as watch:
                    out = await graph.ainvoke({"messages": "Why?"}, context=MoAContext(stream_drafts=streamed))
                worst.append(watch.freeze_ms)
            key = f"standstill_draft_{megabytes}mb{'_streamed' * streamed}"
            title = f"standstill, a draft of {megabytes} MB{', streamed' * streamed} ({out['drafts'][0]['status']})"
            rows.append(row(key, title, worst, "ms", LONGEST_MS))
    text = "word " * (REQUEST_BYTES // 5)
    many = [{"role": "user", "content": "x"}] * MESSAGES
    question = {"role": "user", "content": "Why?"}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * REQUEST_BYTES}}
    conversations = {
        "19mb": ("", [{"role": "user", "content": text}]),
        "answer": (", an answer in the conversation", [question, {"role": "assistant", "content": text}, question]),
        "image": (", an image", [{"role": "user", "content": [image]}]),
        "turns": (", 4,001 messages", [*[question, {"role": "assistant", "content": "Because."}] * 2_000, question]),
        "messages": ("", many),
    }
    for name, (what, messages) in conversations.items():
        body = json.dumps({"model": "moa", "messages": messages}).encode()
        worst = []
        for _ in range(3):
            async with _served(base) as port, LoopWatch() as watch:
                status = await asyncio.to_thread(_post, port, body)
            worst.append(watch.freeze_ms)
        title = f"standstill, a request of {len(body) / 1e6:.0f} MB to `moa serve`{what} (status {status})"
        rows.append(row(f"standstill_serve_{name}", title, worst, "ms", LONGEST_MS))
    return rows


@contextlib.asynccontextmanager
async def _served(base: str) -> AsyncIterator[int]:
    """The app of `moa serve` in this loop, over a mixture of four proposers; yields its port."""
    spec = {"model": "openai:tok=2", "base_url": f"{base}/v1"}
    mixture = Mixture(proposers=[{**spec, "samples": 4}], aggregator=spec)
    config = uvicorn.Config(create_app(Catalogue({"moa": mixture})), port=0, log_level="warning")
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        with loaded_frozen():  # as the command does
            yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


def _post(port: int, body: bytes) -> int:
    """Return the status of one request, sent by this thread while the loop serves it."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status
