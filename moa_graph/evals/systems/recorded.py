"""Recorded outputs: measured unchanged, or as the drafts of a mixture's last step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moa_graph.costs.ledger import Ledger
from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row, file_digest, read_rows, stem
from moa_graph.evals.systems.mixture import MixtureSystem, SystemAnswer, SystemRequest
from moa_graph.graph.build import create_last_steps
from moa_graph.mixture.combiner import PlannedCall
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer
from moa_graph.state import Draft, new_run

_ASKED = ("prompt", "question")
"""Names of the question that a numbered output answers. Several outputs may answer one text, in other conversations."""
_OUTPUT = ("output", "text", "response", "completion", "generation", "prediction", "answer")
"""Names of an output. Where there is another one, `answer` is the right one."""


@dataclass(frozen=True)
class RecordedOutputs:
    """Recorded outputs of one system, joined by instruction or id, never by position.

    Attributes:
        path: The file.
        turns: The texts of every turn by key. A row that names its set (FLASK) also has the key "SET/ID".
        models: The models that the rows name.
        asked: The texts of every turn by the question of a numbered row, and by its number with its question; without
            those that have different texts.
    """

    path: Path
    turns: Mapping[str, Sequence[str]]
    models: tuple[str, ...] = ()
    asked: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> RecordedOutputs:
        """Read AlpacaEval's outputs, FastChat's answers, FLASK's outputs or those of `moa eval run`.

        Raises:
            InputError: A row has neither an instruction nor an id, two rows with one key have different texts, or
                no row has a text.
        """
        found: dict[str, tuple[int, list[str]]] = {}
        asked: dict[str, set[tuple[str, ...]]] = {}
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
            for key in (*_questions(row), *_places(row)) if texts else ():
                asked.setdefault(key, set()).add(tuple(texts))
        if not found:
            raise InputError(
                f"{path}: no row has an output, which is text under {', '.join(_OUTPUT)}, or FastChat's `choices`; the "
                f"first row has {', '.join(list(rows[0])[:8]) if rows else 'no fields: the file is empty'}"
            )
        named = [str(row[name]) for row in rows for name in ("generator", "model_id", "model") if row.get(name)]
        once = {key: next(iter(said)) for key, said in asked.items() if len(said) == 1}
        turns = {key: texts for key, (_, texts) in found.items()}
        return cls(path, turns, tuple(dict.fromkeys(named)), once)

    @property
    def name(self) -> str:
        return stem(self.path)

    def require(self, items: Sequence[Sequence[str]]) -> None:
        """Check that there is an output for at least one item.

        Args:
            items: The keys of each item.

        Raises:
            InputError: No item has one: everything would be paid for and nothing measured.
        """
        if not any(key in self.turns or key in self.asked for keys in items for key in keys):
            wanted = f"; the first item is {items[0][-1][:60]!r}" if items and items[0] else ""
            raise InputError(
                f"{self.path}: it has no output for any of the {len(items)} items, which are joined by instruction or "
                f"id{wanted}. Its first row is {next(iter(self.turns))[:60]!r}"
            )

    def text(self, ask: SystemRequest) -> str | None:
        """Return the recorded text of this turn; None if there is none."""
        for key in ask.keys:
            turns = self.turns.get(key) or self.asked.get(key, ())
            if ask.turn < len(turns) and turns[ask.turn].strip():
                return turns[ask.turn]
        return None


def place_key(number: str, text: str = "") -> str:
    """Return the key of a prompt by its number and its text, or by its number alone for rows without a question."""
    return f"row {number}: {text}" if text else f"row {number}"


def _keys(row: Row) -> list[str]:
    """Return the keys that a row is joined by. A numbered row that names its set is joined only within that set."""
    keys = [str(row["instruction"])] if row.get("instruction") is not None else []
    return [*keys, *(f"{row['set']}/{number}" if row.get("set") else number for number in _numbers(row))]


def _numbers(row: Row) -> list[str]:
    return [str(row[name]) for name in ("question_id", "idx", "id") if row.get(name) is not None]


def _places(row: Row) -> list[str]:
    texts = [row[name] for name in ("instruction", *_ASKED) if isinstance(row.get(name), str)]
    return [place_key(number, text) for number in _numbers(row) for text in texts or [""]]


def _questions(row: Row) -> list[str]:
    return [row[name] for name in _ASKED if isinstance(row.get(name), str)]


def _texts(row: Row) -> list[str]:
    """Return the texts of a row's turns. A missing or null output gives no text, not the text "None"."""
    choices = row.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if isinstance(first, dict) and isinstance(turns := first.get("turns"), list):
        return [str(turn) for turn in turns] if all(isinstance(turn, str) for turn in turns) else []
    text = next((row[name] for name in _OUTPUT if name in row), None)
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
    """What a mixture does with recorded drafts, which replace those of its own last round.

    It is the mixture's own graph after that round, so its combiner, prompt, system, shuffle, draft_tokens, windows,
    fallbacks, on_failure and caps hold. Options of the recorded calls (quorum, hedge) have no effect.
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
        own = mixture.combine
        replayed = _on_recorded(mixture, drafts)
        super().__init__(replayed, ledger, name=name or mixture.name or f"mixture-{mixture.hash}", deadline=deadline)
        digests = {each.path.name: file_digest(each.path) for each in drafts}
        self.identity = {"drafts": digests, "mixture": mixture.hash}
        again = [node.spec for node in replayed.plan.nodes] if own.calls_authors else own.roster
        self.specs = [mixture.aggregator, *mixture.fallbacks, *own.specs, *again]

    def _graph(self) -> Any:
        return create_last_steps(self.mixture, ledger=self.ledger)

    @property
    def _layers(self) -> int:
        """The layers of a run: at least one round, which is the recorded one."""
        return max(self.mixture.total_layers, 2)

    def planned(self) -> list[PlannedCall]:
        """Return the calls of one question: the most that what follows the recorded drafts makes."""
        _, base = self.mixture.run_rounds(self._layers, self.mixture.combine)
        calls = [c for c in self.mixture.planned(self._layers) if c.role != "proposer" or c.layer > base]
        if self.mixture.combine.name == "synthesize":
            calls = [call._replace(texts=len(self.drafts)) for call in calls]
        return calls

    def _given(self, ask: SystemRequest) -> dict[str, Any]:
        mixture = self.mixture
        rounds, base = mixture.run_rounds(self._layers, mixture.combine)
        run = new_run(mixture.hash, self._layers, mixture.combine.name)
        slots = rounds[base - 1]
        names = slots if mixture.combine.calls_authors else [each.name for each in self.drafts]
        drafts = [_draft(each, ask, base, slot, names[slot]) for slot, each in enumerate(self.drafts)]
        state = {"drafts": drafts, "notes": [], "layer": base, "next": slots, "run": run, "record": None}
        return {**super()._given(ask), **state}


def _on_recorded(mixture: Mixture, drafts: Sequence[RecordedOutputs]) -> Mixture:
    """Return the mixture with one slot for each file of drafts, where its combiner works by slots.

    Raises:
        InputError: The combiner calls the drafts' authors again, and there are more or fewer files than slots.
    """
    slots = len(mixture.round_nodes(max(mixture.total_layers, 2) - 1))
    if mixture.combine.name == "synthesize" or len(drafts) == slots:
        return mixture
    if mixture.combine.calls_authors:
        raise InputError(
            f"combine: {mixture.combine.name} calls the authors of the drafts again, and {len(drafts)} files of drafts "
            f"are given for {slots} proposers. Give one file for each proposer, in their order."
        )
    # Nothing is sent to these: the recorded drafts stand for their answers.
    writer = {name: getattr(mixture.aggregator, name) for name in mixture.aggregator.model_fields_set - {"samples"}}
    proposers: Any = [{**writer, "name": f"{number} {each.name}"[:60]} for number, each in enumerate(drafts)]
    return mixture.changed(proposers=proposers, layers=2, sees=None, quorum=None, min_drafts=0)


def _draft(drafts: RecordedOutputs, ask: SystemRequest, layer: int, slot: int, name: str) -> Draft:
    """Return one file's draft, for which nothing was sent. A missing one is an unused slot, so the answer says so."""
    text = drafts.text(ask)
    return Draft(
        layer=layer,
        slot=slot,
        proposer=name,
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
