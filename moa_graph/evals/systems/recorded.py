"""Recorded outputs: measured unchanged, or as the drafts of a mixture's last step."""

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
from moa_graph.evals.data.files import Row, file_digest, read_rows
from moa_graph.evals.systems.mixture import MixtureSystem, SystemAnswer, SystemRequest
from moa_graph.graph.nodes import Node, Nodes
from moa_graph.mixture.context import MoAContext
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.registry import require_known
from moa_graph.state import Draft, MoAState, RunInfo


@dataclass(frozen=True)
class RecordedOutputs:
    """Recorded outputs of one system, joined by instruction or id, never by position.

    Attributes:
        path: The file.
        turns: The texts of every turn by key. A row that names its set (FLASK) also has the key "SET/ID".
        models: The models that the rows name.
    """

    path: Path
    turns: Mapping[str, Sequence[str]]
    models: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> RecordedOutputs:
        """Read AlpacaEval's outputs, FastChat's answers, FLASK's outputs or those of `moa eval run`.

        Raises:
            InputError: A row has neither an instruction nor an id, or two rows with one key have different texts.
        """
        found: dict[str, tuple[int, list[str]]] = {}
        rows = read_rows(path)
        for number, row in enumerate(rows, 1):
            texts, keys = _texts(row), _keys(row)
            if not keys:
                raise InputError(f"{path}, row {number}: needs an instruction, question_id, idx or id to join by")
            for key in keys if texts else ():
                before, said = found.setdefault(key, (number, texts))
                if said != texts:
                    raise InputError(
                        f"{path}: rows {before} and {number} have different outputs for {key[:60]!r}; remove one"
                    )
        named = [str(row[name]) for row in rows for name in ("generator", "model_id", "model") if row.get(name)]
        return cls(path, {key: texts for key, (_, texts) in found.items()}, tuple(dict.fromkeys(named)))

    @property
    def name(self) -> str:
        return self.path.name.split(".json")[0]

    def text(self, ask: SystemRequest) -> str | None:
        """Return the recorded text of this turn; None if there is none."""
        for key in ask.keys:
            turns = self.turns.get(key, ())
            if ask.turn < len(turns) and turns[ask.turn].strip():
                return turns[ask.turn]
        return None


def _keys(row: Row) -> list[str]:
    """Return the keys that a row is joined by. A numbered row that names its set is joined only within that set."""
    keys = [str(row["instruction"])] if row.get("instruction") is not None else []
    numbers = [str(row[name]) for name in ("question_id", "idx", "id") if row.get(name) is not None]
    return [*keys, *(f"{row['set']}/{number}" if row.get("set") else number for number in numbers)]


def _texts(row: Row) -> list[str]:
    """Return the texts of a row's turns. A missing or null output gives no text, not the text "None"."""
    if isinstance(row.get("choices"), list):
        turns = row["choices"][0].get("turns") or []
        return [str(turn) for turn in turns] if all(isinstance(turn, str) for turn in turns) else []
    text = row.get("output", row.get("text", row.get("answer")))
    return [text] if isinstance(text, str) else []


class RecordedSystem:
    """Recorded outputs, returned unchanged. No model is called."""

    def __init__(self, drafts: RecordedOutputs, *, name: str | None = None) -> None:
        self.drafts = drafts
        self.name = name or drafts.name
        self.identity: Mapping[str, Any] = {"drafts": {drafts.path.name: file_digest(drafts.path)}}
        self.specs: Sequence[Proposer] = ()

    async def answer(self, ask: SystemRequest) -> SystemAnswer:
        text = self.drafts.text(ask)
        return SystemAnswer(text, error="there is no recorded output for it" if text is None else None)


class SynthesisSystem(MixtureSystem):
    """A mixture's last step on recorded drafts, which replace those of its own proposers.

    It uses the graph's own aggregate node, so the mixture's prompt, system, shuffle, draft_tokens, windows, fallbacks,
    on_failure and caps apply. Options of the proposers' calls (quorum, min_drafts, hedge) have no effect.
    """

    def __init__(
        self,
        drafts: Sequence[RecordedOutputs],
        mixture: Mixture,
        ledger: Ledger,
        *,
        name: str | None = None,
        deadline: float | None = None,
    ) -> None:
        self.drafts = drafts
        super().__init__(mixture, ledger, name=name, deadline=deadline)
        digests = {each.path.name: file_digest(each.path) for each in drafts}
        self.identity = {"drafts": digests, **self.identity}
        self.specs = [mixture.aggregator, *mixture.fallbacks]
        for spec in self.specs:
            require_known(spec)

    def _graph(self) -> Any:
        graph = StateGraph(MoAState, MoAContext)
        graph.add_node("aggregate", Node("aggregate", Nodes(self.mixture, self.ledger).aggregate))
        graph.add_edge(START, "aggregate")
        graph.add_edge("aggregate", END)
        return graph.compile(name="moa")

    def _given(self, ask: SystemRequest) -> dict[str, Any]:
        layers = self.mixture.total_layers
        run = RunInfo(
            id=uuid.uuid4().hex, mixture=self.mixture.hash, layers=layers, combine=self.mixture.combine.name,
            started=time.time(),
        )  # fmt: skip
        drafts = [_draft(each, ask, layers - 1, slot) for slot, each in enumerate(self.drafts)]
        return {**super()._given(ask), "drafts": drafts, "layer": layers, "run": run, "record": None}


def _draft(drafts: RecordedOutputs, ask: SystemRequest, layer: int, slot: int) -> Draft:
    """Return one file's draft; nothing is sent. A missing one is an unused slot, which the answer reports."""
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
