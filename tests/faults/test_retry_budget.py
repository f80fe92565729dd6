"""With random 500s, no more runs fail than the attempts of the aggregator predict, with and without hedges."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from moa_graph import MoAError, Proposer, create_moa

RUNS = 200


class InternalError(Exception):
    status_code = 500


class Unreliable(BaseChatModel):
    """Fails a quarter of its calls; half of the others take a while."""

    model: str = "unreliable"
    chance: Any

    @property
    def _llm_type(self) -> str:
        return "unreliable"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        if self.chance.random() < 0.25:
            raise InternalError("boom")
        await asyncio.sleep(0.3 if self.chance.random() < 0.5 else 0.01)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("fine"))])


# Lost are the runs whose aggregator fails at every attempt: 200 * 0.25 ** attempts on average, 3.1 and 0.2. The bounds
# lie three standard deviations above. With one common budget 7, 7 and 24 runs were lost.
@pytest.mark.parametrize(("attempts", "hedge", "most"), [(3, None, 8), (5, None, 2), (3, 0.1, 8), (5, 0.1, 2)])
async def test_runs_lost_under_random_500s(attempts: int, hedge: float | None, most: int) -> None:
    model = Unreliable(chance=random.Random(7))
    graph = create_moa(
        proposers=[Proposer(model=model, samples=3)],
        aggregator=model,
        max_attempts=attempts,
        hedge=hedge,
        deadline=60.0,
    )

    async def lost() -> bool:
        try:
            await graph.ainvoke({"messages": "hi"})
        except MoAError:
            return True
        return False

    found = sum(await asyncio.gather(*(lost() for _ in range(RUNS))))
    print(f"{attempts} attempts, hedge {hedge}: {found} of {RUNS} runs lost")
    assert found <= most
