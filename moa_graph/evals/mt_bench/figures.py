"""Recorded MT-Bench judgments, single or pairwise, as plain figures."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from moa_graph.costs.amounts import number_of
from moa_graph.errors import InputError
from moa_graph.evals.data import assets
from moa_graph.evals.data.fields import identifier
from moa_graph.evals.data.files import Row, read_rows
from moa_graph.evals.figures import Figures, as_pair, cautions
from moa_graph.evals.mt_bench import pairs
from moa_graph.evals.mt_bench import scores as mt_bench
from moa_graph.evals.stats import fraction_interval

_HUMAN = re.compile(r"(author|expert|human|annotator|arena_user|user)(_\w+)?")
"""How FastChat's files of human votes name a person."""


def is_pairwise(rows: Sequence[Row]) -> bool:
    """Return whether the rows are FastChat's pairwise ones."""
    return bool(rows) and pairs.is_pairwise(rows[0])


def categories() -> dict[Any, str]:
    """Return the category of every MT-Bench question; empty if the questions are not on this disk."""
    found = assets.present(mt_bench.QUESTIONS)
    if not found:
        return {}
    rows = read_rows(found.path)
    return {identifier(row["question_id"], mt_bench.QUESTIONS, "question_id"): row["category"] for row in rows}


def single_figures(rows: Sequence[Row], *, chosen: Collection[Any] | None = None) -> dict[str, Figures]:
    """Return the figures of single grading by system, with categories if the questions are on this disk.

    Args:
        rows: FastChat's single-grading rows.
        chosen: The questions that a run chose; None if all of them are expected.

    Raises:
        InputError: There are no judgments, or none could be read; the message names the first one.
    """
    judgments = mt_bench.judgments(rows)
    known = categories()
    found = {name: _single(members, known, chosen or known) for name, members in mt_bench.systems(judgments).items()}
    if not any(figures["n"] for figures in found.values()):
        first = mt_bench.first_unreadable(judgments)
        raise InputError(f"no rating could be read: {first or 'there are no judgments'}; a rating is 1 to 10")
    return found


def _single(members: Sequence[mt_bench.Judgment], known: Mapping[Any, str], expected: Collection[Any]) -> Figures:
    score = mt_bench.score(members, categories=known)
    notes = [_incomplete(members, expected, "judgments")]
    if unreadable := mt_bench.first_unreadable(mt_bench.unique(members)[0]):
        notes.append(f"{number_of(score.parse_failures, 'rating')} could not be read; {unreadable}")
    return {
        "judge": members[0].judge or None,
        "score": score.score,
        "first_turn": score.first_turn,
        "second_turn": score.second_turn,
        "n": score.n,
        "duplicates": score.duplicates,
        "parse_failures": score.parse_failures,
        "interval": as_pair(score.interval),
        "categories": score.categories,
        "cautions": cautions({"interval": score.interval}),
        "notes": [note for note in notes if note],
    }


def _incomplete(
    members: Sequence[mt_bench.Judgment | pairs.PairVerdict], known: Collection[Any], what: str
) -> str | None:
    """Return a note on missing judgments: of the known questions, or the second turn of other questions."""
    here = {(row.question, row.turn) for row in members}
    questions = {question for question, _ in here}
    expected = set(known) if questions <= set(known) else questions
    wanted = {(question, turn) for question in expected for turn in (1, 2)}
    absent = len(wanted - here)
    if not absent:
        return None
    turns = [len({q for q, t in here if t == turn}) for turn in (1, 2)]
    return (
        f"{absent} of {len(wanted)} {what} are missing: {turns[0]} of {len(expected)} questions have a first turn, "
        f"{turns[1]} a second"
    )


def pair_figures(rows: Sequence[Row], *, chosen: Collection[Any] | None = None) -> dict[str, Figures]:
    """Return wins, ties and adjusted win rate of pairwise judging for every pair of models and every judge.

    Args:
        rows: FastChat's pairwise rows.
        chosen: The questions that a run chose; None if all of them are expected.

    Raises:
        InputError: No verdict could be read; the message names the first one.
    """
    verdicts = pairs.pair_verdicts(rows)
    groups: dict[tuple[tuple[str, str], str], list[pairs.PairVerdict]] = {}
    for row in verdicts:
        one, two = row.models
        # A pair that the file has in both directions is one pair, named as it is met first.
        judge = "humans" if _HUMAN.fullmatch(row.judge) else row.judge
        known = ((two, one), judge) in groups
        groups.setdefault(((two, one) if known else (one, two), judge), []).append(row.facing(two if known else one))
    if not any(row.winner for row in verdicts):
        first = f"question {verdicts[0].question} has the winners {verdicts[0].raw}" if verdicts else "there are none"
        raise InputError(f"no pairwise verdict could be read: {first}; a winner is model_1, model_2 or tie")
    judges = {judge for _, judge in groups}
    expected = chosen or categories()
    return {
        f"{one} against {two}" + (f", judged by {judge}" if len(judges) > 1 else ""): _pair(members, expected)
        for ((one, two), judge), members in groups.items()
    }


def _pair(members: Sequence[pairs.PairVerdict], expected: Collection[Any]) -> Figures:
    kept, duplicates = pairs.unique_pairs(members)
    model, opponent = members[0].models
    winners = [row.winner for row in kept]
    read = [(100 * win, row.question) for row in kept if (win := row.win(model)) is not None]
    same = [row.same for row in kept if row.same is not None]
    width = fraction_interval([win for win, _ in read], clusters=[question for _, question in read], scale=100)
    unreadable = [f"question {row.question} has the winners {row.raw}" for row in kept if row.winner is None]
    by_people = bool(_HUMAN.fullmatch(members[0].judge))
    # People vote on a sample of the questions, and about conversations of other lengths.
    whole = not by_people and all(row.question in expected for row in kept)
    notes = [_incomplete(kept, expected, "pairwise judgments") if whole else None]
    if unreadable:
        notes.append(f"{number_of(len(unreadable), 'verdict')} could not be read; {unreadable[0]}")
    return {
        "model": model,
        "opponent": opponent,
        "judge": "humans" if by_people else members[0].judge or None,
        "wins": winners.count("model_1"),
        "losses": winners.count("model_2"),
        "ties": winners.count("tie"),
        "duplicates": duplicates,
        "parse_failures": winners.count(None),
        "adjusted_win_rate": pairs.adjusted_win_rate(winners),
        "adjusted_win_rate_interval": as_pair(width),
        "consistency": sum(same) / len(same) if same else None,
        "cautions": cautions({"adjusted_win_rate_interval": width}),
        "notes": [note for note in notes if note],
    }
