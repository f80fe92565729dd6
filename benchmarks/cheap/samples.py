"""What the samples of one proposer are billed for their prompt."""

from __future__ import annotations

import asyncio
from typing import Any

from moa_graph import create_moa
from tests.provider import Provider

SAMPLES = 6


def measure() -> dict[str, Any]:
    """Return how many prompts six samples are billed for, in one request and in six."""
    prompt = asyncio.run(_input_tokens(1, one_request=False))
    shared = asyncio.run(_input_tokens(SAMPLES, one_request=True))
    apart = asyncio.run(_input_tokens(SAMPLES, one_request=False))
    return {
        "samples": SAMPLES,
        "sample_prompts_billed": round(shared / prompt, 4),
        "sample_prompts_billed_apart": round(apart / prompt, 4),
    }


async def _input_tokens(samples: int, *, one_request: bool) -> int:
    with Provider() as provider:
        spec: Any = {
            "model": "openai:tok=8-a",
            "base_url": provider.url,
            "samples": samples,
            "one_request": one_request,
        }
        graph = create_moa(proposers=[spec], aggregator={"model": "openai:tok=4-agg", "base_url": provider.url})
        result = await graph.ainvoke({"messages": "Why is the sky blue? " * 100})
    assert [draft["status"] for draft in result["drafts"]] == ["ok"] * samples
    return sum(draft["usage"]["input_tokens"] for draft in result["drafts"] if draft["usage"])
