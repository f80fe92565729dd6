"""Every fault in every combiner's own call: no untyped errors, and the answer of `synthesize`."""

import asyncio
from typing import Any

import pytest

from moa_graph import MoAError, create_moa
from tests.faults.matrix import DEADLINE, KINDS, RECOVERED, _faulty, _spec
from tests.provider import ANSWERED, Provider

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WORKERS = 4


def with_own(place: str, bad: dict[str, Any], good: dict[str, Any]) -> dict[str, Any]:
    """The combiner whose own call at `place` is the faulty one."""
    return {
        "analyst": {"name": "analyze", "analyst": bad},
        "judge": {"name": "select", "judge": bad},
        "strong": {"name": "escalate", "strong": [bad]},
        "comparator": {"name": "escalate", "strong": [good], "agree": "model", "comparator": bad},
        "gate": {"name": "escalate", "strong": [good], "agree": 1.0, "gate": {"model": bad}},
        "reviewer": {"name": "critique", "reviewers": [bad]},
        "vote": {"name": "vote", "answer": {"read": "json", "field": "answer"}},
    }[place]


PLACES = ("analyst", "judge", "strong", "comparator", "gate", "reviewer")


@pytest.mark.parametrize("place", PLACES)
async def test_a_combiners_own_calls_may_fail_in_every_way(place: str) -> None:
    todo, wrong = list(KINDS), list[str]()

    async def worker() -> None:
        with Provider() as provider:
            while todo:
                fault = todo.pop()
                if why := await _tried(place, fault, provider):
                    wrong.append(f"{fault}: {why}")
                provider.reset()

    await asyncio.gather(*(worker() for _ in range(WORKERS)))
    assert not wrong, wrong


async def _tried(place: str, fault: str, provider: Provider) -> str | None:
    good = _spec("tok=6-goodstrong", provider)
    graph = create_moa(
        proposers=[_spec("tok=6-good0", provider), _spec("tok=7-good1", provider)],
        aggregator=_spec("tok=6-goodaggregator", provider),
        combine=with_own(place, _faulty(fault, provider), good),
        deadline=DEADLINE,
    )
    try:
        async with asyncio.timeout(60):
            result = await graph.ainvoke({"messages": "Why is the sky blue?"})
    except MoAError as error:
        return f"refused where synthesize answers: {type(error).__name__}: {error}"
    except BaseException as error:
        return f"untyped {type(error).__name__}: {error}"
    record = result["record"]
    if not str(result["messages"][-1].content).strip():
        return "a silent empty answer"
    # The loopback provider's prose is never a verdict, so that a whole reply is unreadable as well.
    whole = place == "strong" and (fault in ANSWERED or fault in RECOVERED or fault == "nodone")
    return None if record["degraded"] or whole else "the record does not say that the combiner's own call failed"
