"""With a deadline of the run, a model that hangs in a combiner's round does not cost the answer."""

from __future__ import annotations

from typing import Any

from moa_graph import DeadlineError
from tests.clocks import virtual_time
from tests.fakes import Fake, Log, Sent, came, fake

HANGS = 600.0
PROBLEM = '{"problems": [{"kind": "wrong", "what": "all"}]}'


class Later(Fake):
    """Answers its first request at once, and hangs afterwards."""

    async def _wait(self, sent: Sent, seconds: float) -> None:
        await super()._wait(sent, seconds if len(self.log.sent) > 1 else 0.0)


def later(model: str) -> Later:
    return Later(model=model, log=Log([f"I am {model}."]), delay=HANGS)


def mixture(*proposers: Fake, combine: Any, **fields: Any) -> dict[str, Any]:
    return {"proposers": [*proposers], "aggregator": fake("z"), "combine": combine, "run_deadline": 6.0, **fields}


@virtual_time
async def test_revisions_that_hang_leave_time_for_the_answer() -> None:
    combine = {"name": "critique", "reviewers": [fake("reviewer", PROBLEM)]}
    run = await came(mixture(later("a"), later("b"), combine=combine))
    assert run.answer == "I am z." and run.statuses == ["ok", "ok", "late", "late"]
    assert run.result["record"]["degraded"]


@virtual_time
async def test_repairs_that_hang_leave_time_for_the_answer() -> None:
    combine = {"name": "verify", "check": lambda messages, text: False, "repairs": 2}
    run = await came(mixture(later("a"), later("b"), combine=combine))
    assert run.answer == "I am z." and run.result["record"]["status"] == "ok"


@virtual_time
async def test_a_cheap_round_that_hangs_leaves_time_for_the_strong_one() -> None:
    combine = {"name": "escalate", "strong": [fake("s")]}
    run = await came(mixture(fake("a", delay=HANGS), fake("b", delay=HANGS), combine=combine))
    assert run.answer == "I am s." and run.statuses == ["late", "late", "ok"]


@virtual_time
async def test_the_last_round_of_a_run_has_all_the_time_that_is_left() -> None:
    combine = {"name": "escalate", "strong": [fake("s", delay=5.0)]}
    run = await came(mixture(fake("a"), fake("b"), combine=combine))
    assert run.answer == "I am s." and not run.result["record"]["degraded"]


@virtual_time
async def test_a_batch_that_hangs_leaves_time_for_the_next() -> None:
    slow = [fake(name, "5", delay=HANGS) for name in ("a", "b")]
    run = await came(mixture(*slow, fake("c", "5"), combine={"name": "vote", "batch": 1}))
    assert run.answer == "5" and run.statuses == ["late", "late", "ok"]
    run = await came(mixture(*slow, fake("c", "5", delay=HANGS), combine={"name": "vote", "batch": 1}))
    assert isinstance(run.error, DeadlineError) and run.seconds < 7.0
