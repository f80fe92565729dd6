"""What is measured: a mixture or one model (drafts.py has recorded outputs). All answer a conversation with one text.

A conversation is a list of (role, text) turns. Only the answer ever enters the history of a second turn; drafts
never do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from moa_graph.costs.ledger import Ledger
from moa_graph.costs.prices import price
from moa_graph.errors import BudgetError, ConfigError, MoAError
from moa_graph.evals.systems.paid_calls import Payer, leave
from moa_graph.graph.build import create_moa
from moa_graph.graph.prompts import with_system
from moa_graph.mixture.context import MoAContext
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.reply import read
from moa_graph.state import Record, Usage, total_usage

Turns = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """One answer and what it took. `text` None: there is none, and `error` says why. `degraded` are the reasons why it
    is less than it was meant to be: a draft that is missing, a fallback that answered."""

    text: str | None
    calls: int = 0
    usage: Usage | None = None
    cost: float | None = 0.0
    seconds: float = 0.0
    error: str | None = None
    degraded: Sequence[str] = ()


@dataclass(frozen=True)
class Ask:
    """One question to a system: `keys` are the names by which recorded drafts may know it, `turn` is 0-based."""

    item: str
    keys: tuple[str, ...]
    turns: Turns
    turn: int = 0
    temperature: float | None = None
    max_tokens: int | None = None


class System(Protocol):
    """Anything that answers. `identity` is what makes two runs the same run."""

    name: str
    identity: Mapping[str, Any]
    specs: Sequence[Proposer]

    async def answer(self, ask: Ask) -> Answer: ...


def messages(turns: Turns) -> list[Any]:
    """(role, text) turns as LangChain messages."""
    kinds = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    return [kinds[role](content=text) for role, text in turns]


class MixtureSystem:
    """A mixture; every proposer's call is in the ledger, and the finished answer too, so that a resume is quick."""

    def __init__(
        self, mixture: Mixture, ledger: Ledger, *, name: str | None = None, deadline: float | None = None
    ) -> None:
        self.mixture, self.ledger, self.deadline = mixture, ledger, deadline
        self.name = name or mixture.name or f"mixture-{mixture.hash}"
        self.identity: Mapping[str, Any] = {"mixture": mixture.hash}
        self.specs: Sequence[Proposer] = mixture.specs
        self.graph = self._graph()

    def _graph(self) -> Any:
        return create_moa(self.mixture, ledger=self.ledger)

    def _given(self, ask: Ask) -> dict[str, Any]:
        """The graph's input."""
        return {"messages": messages(ask.turns)}

    async def answer(self, ask: Ask) -> Answer:
        given, place = self._given(ask), self._place(ask)
        finished, unfinished = (self._key(ask, given, place, again) for again in (False, True))
        if kept := await self.ledger.get(finished):
            return self._recalled(kept)
        try:
            await leave()
        except BudgetError:
            # Better than none, and paid for: an answer that lacks what cannot be asked for now.
            if kept := await self.ledger.get(unfinished):
                return self._recalled(kept)
            raise
        try:
            state = await self.graph.ainvoke(given, context=self._context(ask))
        except ConfigError:
            raise  # what is wrong is wrong for every question: a ledger on a full disk would lose whatever is paid
        except MoAError as error:
            return _failed(error)
        answer, again = _whole(state), _to_be_asked_again(state["record"])
        row = {**asdict(answer), "bill": [] if again else _bill(state)}
        await self.ledger.put(unfinished if again else finished, row, **place, seconds=answer.seconds)
        return answer

    def _place(self, ask: Ask) -> dict[str, Any]:
        place = {"item": ask.item, "layer": 0, "slot": 0, "role": "answer", "repeat": 0}
        return {**place, "model": self.mixture.hash}

    def _key(self, ask: Ask, given: Mapping[str, Any], place: Mapping[str, Any], again: bool) -> str:
        """What a finished answer is kept under, or one of which something is to be asked `again`."""
        params: dict[str, Any] = {"temperature": ask.temperature, "max_tokens": ask.max_tokens, "again": again}
        if "drafts" in given:
            params["drafts"] = [draft["text"] for draft in given["drafts"]]
        return self.ledger.call_key(**place, params=params, messages=given["messages"])

    def _context(self, ask: Ask) -> MoAContext:
        return MoAContext(item=ask.item, temperature=ask.temperature, max_tokens=ask.max_tokens, deadline=self.deadline)

    def _recalled(self, kept: dict[str, Any]) -> Answer:
        """A recorded answer; calls of a finished one whose price was not known then have today's."""
        specs = {node.name: node.spec for node in self.mixture.plan[0]}
        bill = [self._cost(specs.get(call["by"], self.mixture.aggregator), call) for call in kept.pop("bill")]
        if not bill:
            return Answer(**kept)
        known = [cost for cost in bill if cost is not None]
        return replace(Answer(**kept), cost=sum(known) if len(known) == len(bill) else None)

    def _cost(self, spec: Proposer, call: Mapping[str, Any]) -> float | None:
        return price(spec, call["usage"], prices=self.mixture.prices, reported=call["cost"])


def _whole(state: Any) -> Answer:
    record = state["record"]
    return Answer(
        text=str(state["messages"][-1].text),
        calls=record["calls"],
        usage=record["usage"],
        cost=record["cost"],
        seconds=record["seconds"],
        degraded=record["degraded_reasons"],
    )


def _to_be_asked_again(record: Record) -> bool:
    """Whether a call failed that may do better the next time. What came too late for a quorum, was refused or did not
    fit is as it is."""
    failed = any(unused["status"] in ("failed", "empty") for unused in record["unused"])
    return failed or record["fallback"] is not None or record["status"] == "best_draft"


def _bill(state: Any) -> list[dict[str, Any]]:
    """What every call of an answer took, by its node, so that its cost can be told when a price becomes known."""
    calls = [
        {"by": draft["proposer"], "usage": draft["usage"], "cost": draft["cost"]}
        for draft in state["drafts"]
        if draft["attempts"]
    ]
    answer = read(state["messages"][-1])
    return [*calls, {"by": "aggregator", "usage": answer.usage, "cost": answer.cost}]


def _failed(error: MoAError) -> Answer:
    """What a failed run cost all the same; its paid drafts are in the ledger."""
    costs = [*(draft["cost"] for draft in error.drafts), error.cost]
    known = [cost for cost in costs if cost is not None]
    return Answer(
        None,
        calls=sum(1 for draft in error.drafts if draft["attempts"]),
        usage=total_usage([draft["usage"] for draft in error.drafts]),
        cost=sum(known) if len(known) == len(costs) else None,
        error=f"{type(error).__name__}: {error}",
    )


class ModelSystem:
    """One model, asked directly: the baseline that a mixture has to beat."""

    def __init__(self, spec: Proposer, payer: Payer, *, name: str | None = None) -> None:
        self.spec, self.payer = spec, payer
        self.name = name or spec.name or spec.label
        self.identity: Mapping[str, Any] = {"model": spec.model_dump(mode="json")}
        self.specs: Sequence[Proposer] = [spec]

    async def answer(self, ask: Ask) -> Answer:
        system = [self.spec.system] if self.spec.system else []
        shown = with_system(messages(ask.turns), before="", after=system)
        reply = await self.payer.ask(
            self.spec, shown, item=ask.item, role="model", temperature=ask.temperature, max_tokens=ask.max_tokens
        )
        text = reply.text if reply.counts else None
        return Answer(text, 1, reply.usage, reply.cost, reply.seconds, None if reply.counts else reply.error)
