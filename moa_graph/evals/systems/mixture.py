"""The measured systems: a mixture or one model (recorded outputs are in `recorded`). Each returns one text.

A conversation is a list of (role, text) turns. Only answers, never drafts, enter the history of a second turn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Protocol

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from moa_graph.costs.ledger import Ledger
from moa_graph.costs.prices import price
from moa_graph.errors import BudgetError, ConfigError, MoAError
from moa_graph.evals.systems.paid_calls import EARLIER, Payer, allow_again, replaced
from moa_graph.graph.build import create_moa
from moa_graph.graph.prompts.prompts import with_system
from moa_graph.graph.recording import is_recorded
from moa_graph.mixture.context import MoAContext
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.batching import batched
from moa_graph.models.reply.reply import read
from moa_graph.state import Record, Usage, cost_of, total_usage

Turns = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class SystemAnswer:
    """One answer and its cost.

    Attributes:
        text: The answer; None if there is none, with the reason in `error`.
        calls: The number of calls.
        usage: Tokens of all calls.
        cost: Dollars of all calls; None if a price is unknown.
        seconds: Wall time.
        error: Why there is no answer.
        degraded: Why it is less than the full mixture's answer: a draft is missing, a fallback answered.
        drafts: The drafts it was made from, without times.
    """

    text: str | None
    calls: int = 0
    usage: Usage | None = None
    cost: float | None = 0.0
    seconds: float = 0.0
    error: str | None = None
    degraded: Sequence[str] = ()
    drafts: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True)
class SystemRequest:
    """One question to a system.

    Attributes:
        item: The item's name in the ledger.
        keys: Names by which recorded outputs are joined.
        turns: The conversation as (role, text) pairs.
        turn: 0-based turn of the conversation.
        temperature: Replaces the system's sampling temperature.
        max_tokens: Replaces the system's limit of answer tokens.
        repeat: 0-based repetition of the item.
    """

    item: str
    keys: tuple[str, ...]
    turns: Turns
    turn: int = 0
    temperature: float | None = None
    max_tokens: int | None = None
    repeat: int = 0


class System(Protocol):
    """A system that answers. Two runs with the same `identity` are the same run."""

    name: str
    identity: Mapping[str, Any]
    specs: Sequence[Proposer]

    async def answer(self, ask: SystemRequest) -> SystemAnswer: ...


def messages(turns: Turns) -> list[Any]:
    """Convert (role, text) turns to LangChain messages."""
    kinds = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    return [kinds[role](content=text) for role, text in turns]


class MixtureSystem:
    """A mixture. The ledger stores every proposer's call, and the finished answer, so that a resume is quick."""

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

    def _given(self, ask: SystemRequest) -> dict[str, Any]:
        """Return the graph's input."""
        return {"messages": messages(ask.turns)}

    async def answer(self, ask: SystemRequest) -> SystemAnswer:
        given, place = self._given(ask), self._place(ask)
        finished, unfinished = (self._key(ask, given, place, again) for again in (False, True))
        if kept := await self.ledger.get(finished):
            return self._recalled(kept)
        before = await self.ledger.get(unfinished)
        try:
            await allow_again((before and before["cost"]) or 0.0)
        except BudgetError:
            # An incomplete answer is paid for, so it is kept.
            if before:
                return self._recalled(before)
            raise
        try:
            state = await self.graph.ainvoke(given, context=self._context(ask))
        except ConfigError:
            raise  # The error concerns every question: for example, a ledger on a full disk would lose paid calls.
        except MoAError as error:
            failed = _failed(error)
            if before and (earlier := EARLIER.get()):
                # It stays in the ledger, so a later run finds its cost there.
                earlier.lost += before["cost"] or 0.0
            await self.ledger.lose(_lost(failed.cost, error), item=ask.item)
            return failed
        answer, again = _whole(state), _to_be_asked_again(state["record"])
        if before:
            await replaced(self.ledger, _made_again(before, answer), item=ask.item)
        row = {**asdict(answer), "bill": [] if again else self._bill(state)}
        await self.ledger.put(unfinished if again else finished, row, **place, seconds=answer.seconds)
        return answer

    def _place(self, ask: SystemRequest) -> dict[str, Any]:
        place = {"item": ask.item, "layer": 0, "slot": 0, "role": "answer", "repeat": ask.repeat}
        return {**place, "model": self.mixture.hash}

    def _key(self, ask: SystemRequest, given: Mapping[str, Any], place: Mapping[str, Any], again: bool) -> str:
        """Return the ledger key of a finished answer, or (`again`) of an answer with calls to repeat."""
        params: dict[str, Any] = {"temperature": ask.temperature, "max_tokens": ask.max_tokens, "again": again}
        if "drafts" in given:
            params["drafts"] = [draft["text"] for draft in given["drafts"]]
        return self.ledger.call_key(**place, params=params, messages=given["messages"])

    def _context(self, ask: SystemRequest) -> MoAContext:
        return MoAContext(
            item=ask.item,
            repeat=ask.repeat,
            temperature=ask.temperature,
            max_tokens=ask.max_tokens,
            deadline=self.deadline,
        )

    def _recalled(self, kept: dict[str, Any]) -> SystemAnswer:
        """Return a recorded answer. Calls whose price was unknown get the current price."""
        bill = kept.pop("bill")
        if not bill or kept["cost"] is not None:
            return SystemAnswer(**kept)
        costs = list(map(self._priced, bill))
        known = [cost for cost in costs if cost is not None]
        return replace(SystemAnswer(**kept), cost=sum(known) if len(known) == len(costs) else None)

    def _priced(self, call: Mapping[str, Any]) -> float | None:
        """Return the dollars of a recorded call; None when its price is unknown."""
        spec, known = self._callers.get(call["by"]), call["cost"]
        if spec is None or known is not None:
            return None if known is None else float(known)
        return price(spec, call["usage"], prices=self.mixture.prices, batch=call.get("batch", False))

    @cached_property
    def _callers(self) -> dict[str, Proposer]:
        """The models by node, except those of a combiner's own calls."""
        return {**self.mixture.plan.specs, _WRITER: self.mixture.aggregator}

    def _bill(self, state: Any) -> list[dict[str, Any]]:
        """Return the usage of every call by node, so that the cost can be computed when a price becomes known."""
        drafts = [draft for draft in state["drafts"] if draft["attempts"] or draft["usage"]]
        answer = read(state["messages"][-1])
        calls = [(draft["proposer"], draft["usage"], draft["cost"]) for draft in drafts]
        calls += [(f"note {note['by']}", note["usage"], note["cost"]) for note in state["notes"] if note["usage"]]
        calls += [(_WRITER, answer.usage, answer.cost)]
        return [
            {"by": by, "usage": usage, "cost": cost, "batch": by in self._callers and batched(self._callers[by])}
            for by, usage, cost in calls
        ]


_WRITER = "aggregator"


def _lost(cost: float | None, error: MoAError) -> float:
    """Return what a run that failed may cost again: all but the drafts of the first layer in which one failed, and the
    drafts and the notes of the layers before it."""
    made = [*error.drafts, *({**note, "layer": note["layer"] + 0.5} for note in error.notes)]
    return _beside(cost, made, min((each["layer"] for each in made if not is_recorded(each)), default=math.inf))


def _made_again(before: Mapping[str, Any], answer: SystemAnswer) -> float:
    """Return what an earlier answer cost beside the calls that were found again to make `answer`.

    Where the same drafts failed again, all other calls were sent the same, so that nothing was paid for again but
    replies that are not recorded.
    """
    now = {(draft["layer"], draft["slot"]): _said(draft) for draft in answer.drafts}
    drafts = before["drafts"]
    other = [draft["layer"] for draft in drafts if now.get((draft["layer"], draft["slot"])) != _said(draft)]
    # Only the number of the reasons is compared, because they may contain the id of a request.
    if not other and (answer.text, len(answer.degraded)) == (before["text"], len(before["degraded"])):
        return _beside(math.fsum(draft["cost"] or 0.0 for draft in drafts), drafts, math.inf)
    return _beside(before["cost"], drafts, min(other, default=math.inf))


def _said(draft: Mapping[str, Any]) -> tuple[str, str]:
    return draft["status"], draft["text"]


def _beside(cost: float | None, drafts: Sequence[Mapping[str, Any]], layer: float) -> float:
    """Return a cost without that of the recorded drafts of the layers up to `layer`."""
    kept = [draft for draft in drafts if draft["layer"] <= layer and is_recorded(draft)]
    return (cost or 0.0) - math.fsum(draft["cost"] or 0.0 for draft in kept)


def _whole(state: Any) -> SystemAnswer:
    record = state["record"]
    return SystemAnswer(
        text=str(state["messages"][-1].text),
        calls=record["calls"],
        usage=record["usage"],
        cost=record["cost"],
        seconds=record["seconds"],
        degraded=record["degraded_reasons"],
        drafts=_drafts(state),
    )


_KEPT = ("layer", "slot", "proposer", "model", "status", "text", "error", "usage", "cost")


def _drafts(state: Any) -> list[dict[str, Any]]:
    """Return the drafts as data without times, so that files do not depend on them."""
    return [{name: draft[name] for name in _KEPT} for draft in state["drafts"]]


def _to_be_asked_again(record: Record) -> bool:
    """Return whether a call failed that may succeed if repeated.

    A draft that was too late for a quorum, was refused or did not fit is expected to fail again.
    """
    failed = any(unused["status"] in ("failed", "empty") for unused in record["unused"])
    return failed or record["fallback"] is not None or record["status"] == "best_draft"


def _failed(error: MoAError) -> SystemAnswer:
    """Return the cost of a failed run. Its paid drafts and notes are in the ledger."""
    made = [*error.drafts, *error.notes]
    return SystemAnswer(
        None,
        calls=sum(1 for each in made if each["attempts"]),
        usage=total_usage([each["usage"] for each in made]),
        cost=cost_of(made, beside=error.cost),
        error=f"{type(error).__name__}: {error}",
    )


class ModelSystem:
    """One model, called directly: the baseline for a mixture."""

    def __init__(self, spec: Proposer, payer: Payer, *, name: str | None = None) -> None:
        self.spec, self.payer = spec, payer
        self.name = name or spec.name or spec.label
        self.identity: Mapping[str, Any] = {"model": spec.model_dump(mode="json", exclude={"one_request"})}
        self.specs: Sequence[Proposer] = [spec]

    async def answer(self, ask: SystemRequest) -> SystemAnswer:
        system = [self.spec.system] if self.spec.system else []
        sent = with_system(messages(ask.turns), before="", after=system)
        reply = await self.payer.ask(
            self.spec,
            sent,
            item=ask.item,
            role="model",
            repeat=ask.repeat,
            temperature=ask.temperature,
            max_tokens=ask.max_tokens,
        )
        text = reply.text if reply.counts else None
        return SystemAnswer(text, 1, reply.usage, reply.cost, reply.seconds, None if reply.counts else reply.error)
