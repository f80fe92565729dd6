"""What is measured: a mixture, one model, or recorded drafts. All answer a conversation with one text.

A conversation is a list of (role, text) turns. Only the answer ever enters the history of a second turn; drafts
never do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from moa_graph.context import MoAContext
from moa_graph.errors import InputError, MoAError
from moa_graph.evals.files import Row, read_rows
from moa_graph.evals.paid import Payer, Reply
from moa_graph.graph import MoAGraph, create_moa
from moa_graph.ledger import Ledger
from moa_graph.mixture import Mixture, Proposer
from moa_graph.prompts import Form, draft_text, with_system
from moa_graph.state import Usage, total_usage

Turns = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """One answer and what it took. `text` None: there is none, and `error` says why."""

    text: str | None
    calls: int = 0
    usage: Usage | None = None
    cost: float | None = 0.0
    seconds: float = 0.0
    error: str | None = None


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
        self.graph: MoAGraph = create_moa(mixture, ledger=ledger)

    async def answer(self, ask: Ask) -> Answer:
        shown = messages(ask.turns)
        params = {"temperature": ask.temperature, "max_tokens": ask.max_tokens}
        place: dict[str, Any] = {
            "item": ask.item,
            "layer": 0,
            "slot": 0,
            "role": "answer",
            "repeat": 0,
            "model": self.mixture.hash,
        }
        key = self.ledger.call_key(**place, params=params, messages=shown)
        if kept := await self.ledger.get(key):
            return Answer(**kept)
        context = MoAContext(
            item=ask.item, temperature=ask.temperature, max_tokens=ask.max_tokens, deadline=self.deadline
        )
        try:
            state = await self.graph.ainvoke({"messages": shown}, context=context)
        except MoAError as error:
            return _failed(error)
        record = state["record"]
        answer = Answer(
            text=str(state["messages"][-1].text),
            calls=record["calls"],
            usage=record["usage"],
            cost=record["cost"],
            seconds=record["seconds"],
        )
        await self.ledger.put(key, answer.__dict__, **place, seconds=answer.seconds)
        return answer


def _failed(error: MoAError) -> Answer:
    """What a failed run cost all the same; its paid drafts are in the ledger."""
    costs = [draft["cost"] for draft in error.drafts]
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
        return await _paid(self.payer, self.spec, shown, ask, "model")


async def _paid(payer: Payer, spec: Proposer, shown: list[BaseMessage], ask: Ask, role: str) -> Answer:
    reply = await payer.ask(
        spec, shown, item=ask.item, role=role, temperature=ask.temperature, max_tokens=ask.max_tokens
    )
    return _answer(reply)


def _answer(reply: Reply) -> Answer:
    text = reply.text if reply.counts else None
    return Answer(text, 1, reply.usage, reply.cost, reply.seconds, None if reply.counts else reply.error)


@dataclass(frozen=True)
class Drafts:
    """Recorded outputs of one system, by every key they can be joined by (instruction or id, never position)."""

    path: Path
    turns: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, path: Path) -> Drafts:
        """AlpacaEval's outputs, FastChat's answers or FLASK's outputs. Raises InputError for other rows."""
        found: dict[str, list[str]] = {}
        for number, row in enumerate(read_rows(path), 1):
            texts = _texts(row)
            keys = [str(row[name]) for name in ("instruction", "question_id", "idx") if row.get(name) is not None]
            if not keys:
                raise InputError(f"{path}, row {number}: no instruction, question_id or idx to join by")
            if texts:
                found.update(dict.fromkeys(keys, texts))
        return cls(path, found)

    def text(self, ask: Ask) -> str | None:
        """The recorded text of this turn; None when there is none."""
        for key in ask.keys:
            turns = self.turns.get(key, ())
            if ask.turn < len(turns) and turns[ask.turn].strip():
                return turns[ask.turn]
        return None


def _texts(row: Row) -> list[str]:
    """A missing or null output gives nothing: it is left out, never the text "None"."""
    if isinstance(row.get("choices"), list):
        turns = row["choices"][0].get("turns") or []
        return [str(turn) for turn in turns] if all(isinstance(turn, str) for turn in turns) else []
    text = row.get("output", row.get("text"))
    return [text] if isinstance(text, str) else []


@dataclass
class DraftsSystem:
    """Recorded drafts: the answers themselves (one file and no model), or what a model synthesizes."""

    drafts: Sequence[Drafts]
    payer: Payer
    spec: Proposer | None = None
    form: Form = "fenced"
    name: str = ""
    identity: Mapping[str, Any] = field(default_factory=dict)
    specs: Sequence[Proposer] = ()

    def __post_init__(self) -> None:
        if self.spec is None and len(self.drafts) != 1:
            raise InputError("several files of drafts need a model (or a mixture's aggregator) to synthesize them")
        names = [drafts.path.name for drafts in self.drafts]
        self.name = self.name or "-".join(name.split(".json")[0] for name in names)
        spec = self.spec.model_dump(mode="json") if self.spec else None
        self.identity = {"drafts": names, "model": spec, "prompt": self.form}
        self.specs = [self.spec] if self.spec else []

    async def answer(self, ask: Ask) -> Answer:
        found = [text for drafts in self.drafts if (text := drafts.text(ask)) is not None]
        if self.spec is None:
            return Answer(found[0]) if found else Answer(None, error="there is no recorded output for it")
        shown = draft_text(found, form=self.form)
        system = [self.spec.system or "", shown]
        asked = with_system(messages(ask.turns), before="", after=system)
        answer = await _paid(self.payer, self.spec, asked, ask, "aggregator")
        return answer if found else replace(answer, error=answer.error or "no recorded drafts: answered without")
