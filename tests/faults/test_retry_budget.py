"""With random 500s or 429s, no more runs fail than the attempts of the aggregator predict, with and without hedges."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from moa_graph import MoAError, Proposer, create_moa
from moa_graph.models import rate_limit
from tests.clocks import virtual_time
from tests.fakes import ServerFault

RUNS = 200


@pytest.fixture(autouse=True)
def fixed_back_offs() -> Iterator[None]:
    """The same random waits each time: with the virtual clock, the same runs are lost."""
    state = random.getstate()
    random.seed(7)
    yield
    random.setstate(state)


class Unreliable(BaseChatModel):
    """Fails a share of its calls at random; half of the others take a while."""

    model: str = "unreliable"
    chance: Any
    status: int = 500
    share: float = 0.25

    @property
    def _llm_type(self) -> str:
        return "unreliable"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        if self.chance.random() < self.share:
            raise ServerFault(self.status)
        await asyncio.sleep(0.3 if self.chance.random() < 0.5 else 0.01)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("fine"))])


async def lost(graph: Any) -> bool:
    """Return whether a run fails."""
    try:
        await graph.ainvoke({"messages": "hi"})
    except MoAError:
        return True
    return False


# The lost runs are those whose aggregator fails at every attempt: 200 * 0.25 ** attempts on average, 3.1 and 0.2. The
# bounds are three standard deviations above. With one common budget 7, 7 and 24 runs were lost.
@pytest.mark.parametrize(("attempts", "hedge", "most"), [(3, None, 8), (5, None, 2), (3, 0.1, 8), (5, 0.1, 2)])
@virtual_time
async def test_runs_lost_under_random_500s(attempts: int, hedge: float | None, most: int) -> None:
    model = Unreliable(chance=random.Random(7))
    graph = create_moa(
        proposers=[Proposer(model=model, samples=3)],
        aggregator=model,
        max_attempts=attempts,
        hedge=hedge,
        deadline=60.0,
    )
    found = sum(await asyncio.gather(*(lost(graph) for _ in range(RUNS))))
    print(f"{attempts} attempts, hedge {hedge}: {found} of {RUNS} runs lost")
    assert found <= most


@virtual_time
async def test_runs_lost_under_random_429s() -> None:
    """One call in ten is refused whatever the load is. The limit stays, so that all runs end in time.

    On average 200 * 0.1 ** 3 = 0.2 runs are lost. When each 429 halved the limit it fell to 4, and two runs of five
    were lost.
    """
    rate_limit._limiters.clear()
    model = Unreliable(chance=random.Random(7), status=429, share=0.1)
    proposer = Proposer(model=model, samples=3)
    graph = create_moa(proposers=[proposer], aggregator=model, max_attempts=3, deadline=60.0)
    found = sum(await asyncio.gather(*(lost(graph) for _ in range(RUNS))))
    limiter = rate_limit.limiter_for(proposer)
    assert limiter is not None and limiter.peak > 32, "the calls did not pass the limiter"
    assert (found <= 2, limiter.limit >= 64) == (True, True), (found, limiter.limit)
