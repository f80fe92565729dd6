"""Recorded outputs: measured as they are, or as the drafts of a mixture's last step."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph

from moa_graph.costs.ledger import Ledger
from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row, read_rows
from moa_graph.evals.systems.mixture import Answer, Ask, MixtureSystem
from moa_graph.graph.nodes import Nodes
from moa_graph.graph.runnables import Node
from moa_graph.mixture.context import MoAContext
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.registry import require_known
from moa_graph.state import Draft, MoAState, RunInfo


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

    @property
    def name(self) -> str:
        return self.path.name.split(".json")[0]

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


class RecordedSystem:
    """Recorded outputs as they are; nothing is asked."""

    def __init__(self, drafts: Drafts, *, name: str | None = None) -> None:
        self.drafts = drafts
        self.name = name or drafts.name
        self.identity: Mapping[str, Any] = {"drafts": [drafts.path.name]}
        self.specs: Sequence[Proposer] = ()

    async def answer(self, ask: Ask) -> Answer:
        text = self.drafts.text(ask)
        return Answer(text, error="there is no recorded output for it" if text is None else None)


class SynthesisSystem(MixtureSystem):
    """What a mixture's last step makes of recorded drafts, which stand for those of its own proposers.

    It is the graph's own aggregate node, so the mixture's prompt, system, shuffle, draft_tokens, windows, fallbacks,
    on_failure and caps hold. What governs the asking of proposers (quorum, min_drafts, hedge) has nothing to govern.
    """

    def __init__(
        self,
        drafts: Sequence[Drafts],
        mixture: Mixture,
        ledger: Ledger,
        *,
        name: str | None = None,
        deadline: float | None = None,
    ) -> None:
        self.drafts = drafts
        super().__init__(mixture, ledger, name=name, deadline=deadline)
        self.identity = {"drafts": [each.path.name for each in drafts], **self.identity}
        self.specs = [mixture.aggregator, *mixture.fallbacks]
        for spec in self.specs:
            require_known(spec)

    def _graph(self) -> Any:
        graph = StateGraph(MoAState, MoAContext)
        graph.add_node("aggregate", Node("aggregate", Nodes(self.mixture, self.ledger).aggregate))
        graph.add_edge(START, "aggregate")
        graph.add_edge("aggregate", END)
        return graph.compile(name="moa")

    def _given(self, ask: Ask) -> dict[str, Any]:
        layers = self.mixture.total_layers
        run = RunInfo(
            id=uuid.uuid4().hex, mixture=self.mixture.hash, layers=layers, combine=self.mixture.combine.name,
            started=time.time(),
        )  # fmt: skip
        drafts = [_draft(each, ask, layers - 1, slot) for slot, each in enumerate(self.drafts)]
        return {**super()._given(ask), "drafts": drafts, "layer": layers, "run": run, "record": None}


def _draft(drafts: Drafts, ask: Ask, layer: int, slot: int) -> Draft:
    """One file's draft, for which nothing was sent. A missing one is an unused place, so that the answer says so."""
    text = drafts.text(ask)
    return Draft(
        layer=layer,
        slot=slot,
        proposer=drafts.name,
        model=drafts.name,
        status="skipped" if text is None else "ok",
        text=text or "",
        error="no output is recorded for it" if text is None else None,
        usage=None,
        cost=0.0,
        seconds=0.0,
        first_token_seconds=None,
        attempts=0,
    )
