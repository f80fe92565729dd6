"""MT-Bench's pairwise verdicts in FastChat's formats, and the win rates made of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data import fields
from moa_graph.evals.data.fields import NOT_RECORDED, identifier
from moa_graph.evals.data.files import Row
from moa_graph.evals.mt_bench.scores import judge_name

_WINNER = re.compile(r"\[\[([ABC])\]\]")


def verdict(text: str) -> str | None:
    """Return "A", "B" or "C" (a tie) of a pairwise judgment; None unless exactly one verdict is given."""
    found = set(_WINNER.findall(text))
    return found.pop() if len(found) == 1 else None


def winner_of(sides: Sequence[str | None]) -> str | None:
    """Return the winner of a pair: a side wins only if every game has it as the winner, else it is a tie.

    Args:
        sides: "model_1", "model_2" or "tie" for each game (one or both orders); None for an unreadable one.

    Returns:
        The winner; None if a game could not be read.
    """
    if None in sides:
        return None
    return sides[0] if len(set(sides)) == 1 else "tie"


def adjusted_win_rate(winners: Sequence[str | None]) -> float | None:
    """Return the percentage of the first model's wins plus half the ties over readable pairs."""
    read = [winner for winner in winners if winner is not None]
    if not read:
        return None
    return 100 * (read.count("model_1") + read.count("tie") / 2) / len(read)


_OTHER = {"model_1": "model_2", "model_2": "model_1", "tie": "tie"}
_FIRST = {"model_1": 1.0, "model_2": 0.0, "tie": 0.5}


@dataclass(frozen=True)
class PairVerdict:
    """One pairwise judgment of one turn. `winner` is "model_1", "model_2", "tie" or, if it could not be read, None.

    `same` is whether both orders gave the same winner; None if there was one order.
    """

    question: int | str
    models: tuple[str, str]
    judge: str
    turn: int
    winner: str | None
    same: bool | None
    raw: Any = None

    def win(self, model: str) -> float | None:
        """Return 1 if `model` won, 0 if it lost, 0.5 for a tie, None if the verdict could not be read."""
        first = None if self.winner is None else _FIRST[self.winner]
        # Two runs of one model have one name: the first is meant.
        return first if first is None or self.models[0] == model else 1 - first

    def facing(self, model: str) -> PairVerdict:
        """Return the verdict with `model` as the first of the two."""
        if self.models[0] == model:
            return self
        winner = None if self.winner is None else _OTHER[self.winner]
        return replace(self, models=(self.models[1], self.models[0]), winner=winner)


_WINNERS = {
    "model_1": "model_1",
    "model_2": "model_2",
    "model_a": "model_1",
    "model_b": "model_2",
    "a": "model_1",
    "b": "model_2",
    "c": "tie",
    "tie": "tie",
    "tie (bothbad)": "tie",
    "tie (inconsistent)": "tie",
}
_BOTH_ORDERS = ("question_id", "model_1", "model_2", "g1_winner", "g2_winner")
_ONE_WINNER = ("question_id", "model_a", "model_b", "winner")


def is_pairwise(row: Row) -> bool:
    """Return whether a row is one of pairwise judging, in either of FastChat's forms."""
    return "g1_winner" in row or {"model_a", "model_b", "winner"} <= row.keys()


def pair_verdicts(rows: Sequence[Row]) -> list[PairVerdict]:
    """Read FastChat's pairwise rows: `gpt-4_pair.jsonl` with both orders, or human votes with one winner.

    Raises:
        InputError: A row has another format; the message names it.
    """
    return [_pair_verdict(row, number) for number, row in enumerate(rows, 1)]


def _pair_verdict(row: Row, number: int) -> PairVerdict:
    where = f"judgment {number}"
    both = "g1_winner" in row or "winner" not in row
    if missing := [name for name in (_BOTH_ORDERS if both else _ONE_WINNER) if name not in row]:
        raise InputError(f"{where} is not a pairwise row: it has no {', '.join(missing)}")
    one, two = ("model_1", "model_2") if both else ("model_a", "model_b")
    models = (_model(row, one, where), _model(row, two, where))
    raw = (row["g1_winner"], row["g2_winner"]) if both else (row["winner"],)
    sides = [_side(value, models) for value in raw]
    winner = winner_of(sides)
    return PairVerdict(
        question=identifier(row["question_id"], where, "question_id"),
        models=models,
        judge=judge_name(row.get("judge"), where),
        turn=_turn(row.get("turn", 1), where),
        winner=winner,
        same=None if winner is None or not both else len(set(sides)) == 1,
        raw=raw if both else raw[0],
    )


def _model(row: Row, field: str, where: str) -> str:
    return fields.name(row[field], where, field) or NOT_RECORDED


def _side(value: Any, models: tuple[str, str]) -> str | None:
    """Return a game's winner.

    FastChat writes the position; some files have the model's name, the judge's letter or "Tie".
    """
    text = str(value)
    if text in models and models[0] != models[1]:
        return "model_1" if text == models[0] else "model_2"
    return _WINNERS.get(text.strip().strip("[]").lower())


def _turn(value: Any, where: str) -> int:
    """Return the number of a turn. Conversations of Chatbot Arena have any number of turns."""
    turn = identifier(value, where, "turn")
    if not isinstance(turn, int) or turn < 1:
        raise InputError(f"{where}: the turn is {value!r}, not a number from 1")
    return turn


def unique_pairs(rows: Sequence[PairVerdict]) -> tuple[list[PairVerdict], int]:
    """Return one verdict per question, pair, judge and turn, and how many were dropped."""
    kept: dict[tuple[Any, ...], PairVerdict] = {}
    dropped = 0
    for row in rows:
        key = (row.question, row.models, row.judge, row.turn)
        dropped += key in kept
        if key not in kept or kept[key].winner is None:
            kept[key] = row
    return list(kept.values()), dropped
