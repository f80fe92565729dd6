"""How long `moa batch` takes, simulated: the batch's own scheduler, calls, retries and rate limiter in virtual time.

    python -m benchmarks.scale.simulation 1000000 --proposers 4 --model p50=2000-p99=15000-rpm=3000 --cpu-ms 25 -c 64

Only two parts are models: a provider, which answers after a time drawn from its latency and refuses what is over its
limits, and the processor time of a question, in which nothing else of the process runs.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage

from benchmarks.scale.virtual_time import VirtualLoop, run
from moa_graph import Mixture
from moa_graph.batch.in_order import in_order
from moa_graph.models import call, rate_limit
from moa_graph.models.call import Call, Outcome, Terms, ask
from moa_graph.models.faults.faults import Fault, ProviderError
from moa_graph.models.faults.retries import RetryBudget
from moa_graph.models.rate_limit import RateLimiter
from tests.provider.limits import Limits
from tests.provider.profile import parse

_ANSWER = AIMessage("an answer")

_SENDING = 0.25
"""Share of a call's processor time within its turn at the rate limiter, as a sampling profiler shows it.

Half is before its request is sent, half after its reply has come. The graph takes the rest.
"""


@dataclass(frozen=True)
class Plan:
    """A batch to simulate.

    Attributes:
        prompts: Questions.
        proposers: Names of the loopback provider's models: each has its latency and its limits in its name.
        aggregator: The aggregator's model.
        concurrency: Questions at once.
        rounds: Rounds of proposers.
        cpu: Seconds of processor time of a question; each call takes an equal part of it.
        overhead: Seconds that a reply takes beside the model's own time.
        deadline: Seconds that a call may take.
        max_attempts: Requests of a call, the first included.
        seed: Of the latencies and of the waits between attempts.
    """

    prompts: int
    proposers: tuple[str, ...]
    aggregator: str
    concurrency: int = 16
    rounds: int = 1
    cpu: float = 0.0
    overhead: float = 0.0
    deadline: float = Mixture.model_fields["deadline"].default
    max_attempts: int = Mixture.model_fields["max_attempts"].default
    seed: int = 20261128

    @property
    def calls(self) -> int:
        """Calls of a question."""
        return len(self.proposers) * self.rounds + 1


@dataclass
class Result:
    """What a simulated batch did.

    Attributes:
        seconds: From the first question to the last answer, in virtual time.
        failed: Questions without an answer.
        requests: Requests sent.
        refused: Requests that were refused with 429.
    """

    seconds: float = 0.0
    failed: int = 0
    requests: int = 0
    refused: int = 0


def simulate(plan: Plan) -> Result:
    """Return how a batch goes."""
    random.seed(plan.seed)  # for the waits of the rate limiter and between attempts
    return run(lambda loop: _Simulation(plan, loop).result(), call, rate_limit)


@dataclass
class _Model:
    """A provider's model in virtual time, called as a chat model is."""

    plan: Plan
    name: str
    loop: VirtualLoop
    dice: random.Random
    made: Result
    in_flight: int = 0
    limiter: RateLimiter = field(init=False)

    def __post_init__(self) -> None:
        self.profile = parse(self.name)
        self.limits = Limits(self.profile.rpm, self.profile.most)
        self.limiter = RateLimiter(self.name)
        self.sending = self.plan.cpu / self.plan.calls / 2 * _SENDING

    async def ainvoke(self, messages: Any, config: Any = None, **options: Any) -> AIMessage:
        self.loop.compute(self.sending)
        self.made.requests += 1
        wait = self.limits.refused(self.loop.now, self.in_flight)
        if wait is not None:
            self.made.refused += 1
            await asyncio.sleep(self.plan.overhead)
            raise ProviderError(Fault("rate_limit", True, wait, 429, "429 too many requests"))
        self.in_flight += 1
        try:
            await asyncio.sleep(self.plan.overhead + self.profile.latency(self.dice))
        finally:
            self.in_flight -= 1
        self.loop.compute(self.sending)
        return _ANSWER


class _Simulation:
    """One batch."""

    def __init__(self, plan: Plan, loop: VirtualLoop) -> None:
        self.plan, self.loop, self.made = plan, loop, Result()
        dice = random.Random(plan.seed)
        names = {*plan.proposers, plan.aggregator}
        self.models = {name: _Model(plan, name, loop, dice, self.made) for name in sorted(names)}

    async def result(self) -> Result:
        async with in_order(range(self.plan.prompts), self._question, concurrency=self.plan.concurrency) as answers:
            async for answered in answers:
                self.made.failed += not answered
        self.made.seconds = self.loop.now
        return self.made

    async def _question(self, number: int) -> bool:
        """Ask one question; return whether it is answered. Older questions have the right of way, as in the graph."""
        plan, started = self.plan, self.loop.now
        shared = RetryBudget(plan.calls)
        for _ in range(plan.rounds):
            drafts = await self._round(plan.proposers, shared, started)
            if not any(draft.counts for draft in drafts):
                return False
        answer = await self._call(plan.aggregator, RetryBudget(plan.max_attempts - 1), started)
        return answer.counts

    async def _round(self, names: Sequence[str], budget: RetryBudget, started: float) -> list[Outcome]:
        if len(names) == 1:
            return [await self._call(names[0], budget, started)]
        return await asyncio.gather(*(self._call(name, budget, started) for name in names))

    async def _call(self, name: str, budget: RetryBudget, started: float) -> Outcome:
        model, plan, outcome = self.models[name], self.plan, Outcome(started=self.loop.now)
        given: Any = model  # of a chat model only `ainvoke` is used
        terms = Terms(plan.deadline, budget, plan.max_attempts, model.limiter, order=started)
        around = plan.cpu / plan.calls / 2 * (1 - _SENDING)
        self.loop.compute(around)
        await ask(Call(given, [], {}), terms, outcome)
        self.loop.compute(around)
        return outcome


def plan_of(prompts: int, *, model: str, proposers: int, **others: Any) -> Plan:
    """Return the plan of a batch whose models all behave as `model` says, each with limits of its own."""
    return Plan(prompts, tuple(f"p{n}-{model}" for n in range(proposers)), f"agg-{model}", **others)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.simulation", description=__doc__.splitlines()[0])
    parser.add_argument("prompts", type=int)
    parser.add_argument(
        "--model", default="p50=2000-p99=15000", help="latency and limits, see tests/provider/profile.py"
    )
    parser.add_argument("--proposers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--cpu-ms", type=float, default=25.0, help="processor time of a question")
    parser.add_argument("-c", "--concurrency", type=int, default=16, help="questions at once, as of moa batch")
    given = parser.parse_args()
    shape = {"rounds": given.rounds, "concurrency": given.concurrency, "cpu": given.cpu_ms / 1e3}
    result = simulate(plan_of(given.prompts, model=given.model, proposers=given.proposers, **shape))
    rate = given.prompts / result.seconds
    print(f"{result.seconds / 3600:.2f} hours ({rate:.2f} questions a second), {result.failed} failed")
    print(f"{result.requests} requests, of which {result.refused} refused with 429")


if __name__ == "__main__":
    main()
