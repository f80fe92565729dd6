"""A deadline ends a stream whose package swallows the cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from moa_graph import MoAContext, create_moa
from moa_graph.models.adapted import adapted
from tests.clocks import virtual_time
from tests.fakes import Fake, fake


class Swallows(Fake):
    """Streams without an end, and ignores the first cancellation, as `asyncio.wait_for` of Python 3.11 may."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.001)
            yield ChatGenerationChunk(message=AIMessageChunk("x "))


@virtual_time
async def test_the_deadline_ends_an_endless_stream() -> None:
    endless = Swallows(**fake("endless").__dict__)
    graph = create_moa(proposers=[endless, fake("good")], aggregator=fake("z"), deadline=0.5)
    began = time.monotonic()
    parts = graph.astream({"messages": "why?"}, context=MoAContext(stream_drafts=True), stream_mode="values")
    state: Any = None
    async for part in parts:
        state = part
    assert time.monotonic() - began < 10
    assert [draft["status"] for draft in state["drafts"]] == ["failed", "ok"]
    assert "no answer within 0.5 s" in state["drafts"][0]["error"]


@pytest.mark.skipif("stream_chunk_timeout" not in ChatOpenAI.model_fields, reason="an older langchain-openai")
def test_a_callers_chat_model_has_no_time_limit_for_chunks() -> None:
    own = ChatOpenAI(model="m", base_url="http://127.0.0.1:9/v1", api_key=SecretStr("k"))
    copy: Any = adapted(own, {}, quiet=False)
    assert copy.stream_chunk_timeout is None and own.stream_chunk_timeout is not None
