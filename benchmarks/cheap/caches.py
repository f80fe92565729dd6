"""Prompt caches: the share of repeated prefixes, and what a provider that caches them bills."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from moa_graph import create_moa
from tests.cache_server import CacheServer
from tests.unit.test_prompt_caches import agent_loop, two_turns

DOCUMENT = "Sum up. " + "A sentence of the document. " * 1_430
PRICE = {"input": 1.0, "output": 0.0, "cache_read": 0.1}


def measure() -> dict[str, Any]:
    """Return the shares and the ratio of the input dollars of ten turns, drafts last against the published form."""
    fenced, paper = (asyncio.run(_dollars(form)) for form in ("fenced", "paper"))
    return {
        "prefix_share": round(asyncio.run(two_turns("fenced")), 4),
        "prefix_share_paper": round(asyncio.run(two_turns("paper")), 4),
        "agent_prefix_share": round(agent_loop(), 4),
        "cost_ratio": round(fenced / paper, 4),
        "input_dollars_fenced": round(fenced, 6),
        "input_dollars_paper": round(paper, 6),
    }


async def _dollars(form: Literal["fenced", "paper"]) -> float:
    """Ten turns about a document of 40,000 characters; three proposers, three layers."""
    with CacheServer() as server:
        models: list[Any] = [{"model": f"openai:{name}", "base_url": server.url} for name in "abc"]
        prices: Any = {each["model"]: PRICE for each in models}
        graph = create_moa(proposers=models, aggregator=models[0], layers=3, prompt=form, prices=prices)
        messages: list[Any] = [{"role": "user", "content": DOCUMENT}]
        cost = 0.0
        for turn in range(10):
            result = await graph.ainvoke({"messages": messages})
            assert result["record"]["cost"] is not None
            cost += result["record"]["cost"]
            messages = [*result["messages"], {"role": "user", "content": f"And part {turn + 2}?"}]
    return cost
