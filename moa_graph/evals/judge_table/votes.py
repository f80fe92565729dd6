"""Pairs with several human votes, and a judge's runs over the same pairs.

AlpacaFarm's cross-annotations have one row per vote, keyed by the three texts; `preference_pairs` brings other sets to
this form. PandaLM's have one row per pair with annotator1.., keyed by idx; its judges' files have one ``..._result``
per idx, a number or a text. Labels become preferences: 1, 2, and 1.5 for a tie.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data.fields import Once, brief, identifier
from moa_graph.evals.data.files import Row
from moa_graph.evals.judge_table.preference_pairs import as_votes
from moa_graph.evals.jury import preference

Key = tuple[str, ...]


@dataclass
class Pair:
    """One instruction with two outputs. `votes` are the humans', in order; `system` groups pairs for rankings."""

    key: Key
    output_1: str
    output_2: str
    votes: list[float] = field(default_factory=list)
    system: str | None = None
    instruction: str = ""


@dataclass
class Humans:
    """Human votes over pairs, and what a vote cost and took when the file says so.

    Attributes:
        pairs: Pairs that have the votes of all humans.
        runs: Votes of each pair.
        price: Mean price of a vote, in dollars.
        time: Mean time of a vote, in seconds.
        smallest_system: A system needs more votes than this to be ranked.
        incomplete: Pairs that were left out because a vote is missing or unreadable.
    """

    pairs: dict[Key, Pair]
    runs: int
    price: float | None = None
    time: float | None = None
    smallest_system: int = 0
    incomplete: int = 0


@dataclass
class RecordedJudge:
    """A judge's verdicts by pair, one list entry per run (None: unreadable).

    `first_unreadable` describes the first verdict that could not be read; None if all could be read.
    """

    name: str
    verdicts: dict[Key, list[float | None]]
    price: float | None = None
    time: float | None = None
    first_unreadable: str | None = None


_VERDICTS = ("preference", "result", "verdict", "winner")
_WORDS = {"tie": 1.5, "model_1": 1.0, "model_2": 2.0, "model_a": 1.0, "model_b": 2.0, "a": 1.0, "b": 2.0, "c": 1.5}


def label(value: Any) -> float | None:
    """Return a vote as a preference from 1 to 2; None if it is not a vote.

    A number may be quoted, a tie may be a word.
    """
    if isinstance(value, str):
        word = value.strip().strip("[]").lower()
        if word in _WORDS:
            return _WORDS[word]
        try:
            value = float(word)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value == 0:
        return 1.5
    return float(value) if 1 <= value <= 2 else None


def humans(rows: Sequence[Row], generators: Sequence[Row] = ()) -> Humans:
    """Read human votes in either format. `generators` (AlpacaFarm's annotations) names the system of each pair.

    Raises:
        InputError: A row is damaged, two rows of one pair have different texts, or no pair has the votes of all humans.
    """
    if not rows:
        raise InputError("the file of human votes is empty")
    if "annotator1" in rows[0]:
        read = _pandalm_humans(rows)
    else:
        read = _alpaca_farm_humans(as_votes(rows, numbered(rows)), generators)
    if not read.pairs:
        raise InputError(
            'no pair has a readable vote of every human; a vote is 1, 2, or a tie (0, 1.5 or "Tie") under '
            "`annotator1`, `annotator2`, ... or `preference`"
        )
    return read


def _pandalm_humans(rows: Sequence[Row]) -> Humans:
    names = sorted((k for k in rows[0] if re.fullmatch(r"annotator\d+", k)), key=lambda k: int(k[9:]))
    pairs: dict[Key, Pair] = {}
    incomplete = 0
    once = Once()
    for number, row in enumerate(rows, 1):
        where = f"row {number}"
        if missing := [name for name in ("idx", "response1", "response2") if name not in row]:
            raise InputError(f"{where} has no {', '.join(missing)}: it is not one of PandaLM's human votes")
        key = (str(identifier(row["idx"], where, "idx")),)
        # A few responses are NaN or a bool in the file, so text is made of them.
        first, second = str(row["response1"]), str(row["response2"])
        votes = [vote for name in names if (vote := label(row.get(name))) is not None]
        if once.repeats(key, (first, second, votes), number, f"idx {key[0]}"):
            continue
        if len(votes) == len(names):
            instruction = "\n\n".join(str(row[name]) for name in ("instruction", "input") if row.get(name))
            pairs[key] = Pair(key, first, second, votes, str(row.get("cmp_key", "")), instruction)
        incomplete += len(votes) < len(names)
    return Humans(pairs, runs=len(names), incomplete=incomplete)


def _alpaca_farm_humans(rows: Sequence[Row], generators: Sequence[Row]) -> Humans:
    # Two systems may have given the same outputs; the first one named counts, as in the published table.
    named = [(_key(row, f"generators, row {number}"), row.get("generator")) for number, row in enumerate(generators, 1)]
    systems = {key: str(generator) for key, generator in reversed(named) if generator}
    pairs: dict[Key, Pair] = {}
    for number, row in enumerate(rows, 1):
        vote, key = label(row.get("preference")), _key(row, f"row {number}")
        if vote is None:
            continue
        if key not in pairs:
            # Rankings use the evaluation split only.
            ranked = row.get("datasplit", "eval") == "eval"
            system = systems.get(key) or row.get("generator") if ranked else None
            pairs[key] = Pair(key, key[1], key[2], [], system, key[0])
        pairs[key].votes.append(vote)
    # Texts that occur twice have twice the votes; the usual number is used, as in the published table.
    counts = Counter(len(pair.votes) for pair in pairs.values())
    runs = counts.most_common(1)[0][0] if counts else 0
    kept = {key: pair for key, pair in pairs.items() if len(pair.votes) >= runs}
    for pair in kept.values():
        del pair.votes[runs:]
    # The published table ranks systems with more than 100 votes.
    price, time = _mean(rows, "price_per_example"), _mean(rows, "time_per_example")
    return Humans(kept, runs, price, time, 100, len({_key(row, "") for row in rows}) - len(kept))


def _key(row: Row, where: str) -> Key:
    """Return a pair's three texts."""
    names = ("instruction", "output_1", "output_2")
    if missing := [name for name in names if not isinstance(row.get(name), str)]:
        raise InputError(
            f"{where} has no text under {', '.join(missing)}: not a pair of AlpacaFarm, PandaLM, RewardBench or JudgeLM"
        )
    return (row["instruction"], row["output_1"], row["output_2"])


def judge(name: str, rows: Sequence[Row], places: Sequence[str] = ()) -> RecordedJudge:
    """Read a judge's verdicts in either format; rows of one pair are its runs, in file order.

    Args:
        name: The judge's name.
        rows: Its rows, of one file or several.
        places: How messages name each row; by its number if left out.

    Raises:
        InputError: The file is empty, or no verdict could be read; the message names the first one.
    """
    if not rows:
        raise InputError(f"the file of judge {name!r} is empty")
    places = places or numbered(rows)
    rows = as_votes(rows, [f"judge {name!r}, {place}" for place in places], judged=True)
    verdict = next((key for key in rows[0] if key.endswith("_result") or key in _VERDICTS), "preference")
    verdicts: dict[Key, list[float | None]] = {}
    unreadable = None
    for place, row in zip(places, rows, strict=True):
        where = f"judge {name!r}, {place}"
        key = (str(identifier(row["idx"], where, "idx")),) if "idx" in row else _key(row, where)
        value = row.get(verdict)
        verdicts.setdefault(key, []).append(label(value))
        if unreadable is None and verdicts[key][-1] is None:
            unreadable = f"{place} has {verdict} {brief(value)}"
    if not any(vote is not None for votes in verdicts.values() for vote in votes):
        raise InputError(
            f"no verdict of judge {name!r} could be read: {unreadable}; a verdict is 1, 2, a number between, or a tie "
            '(0, 1.5 or "Tie")'
        )
    price, time = _mean(rows, "price_per_example"), _mean(rows, "time_per_example")
    return RecordedJudge(name, verdicts, price, time, unreadable)


def numbered(rows: Sequence[Row]) -> list[str]:
    """Return how messages name the rows of a file."""
    return [f"row {number}" for number in range(1, len(rows) + 1)]


def jury(judges: Sequence[RecordedJudge], *, majority: bool) -> RecordedJudge:
    """Return the verdicts of several judges as one: their mean, or the majority of clear verdicts (else a tie).

    Pairs without a readable first verdict of every judge are left out.
    """
    first = [
        {key: next((v for v in votes if v is not None), None) for key, votes in j.verdicts.items()} for j in judges
    ]
    verdicts: dict[Key, list[float | None]] = {}
    for key in first[0]:
        votes = [own.get(key) for own in first]
        read = [vote for vote in votes if vote is not None]
        if len(read) == len(judges):
            verdicts[key] = [preference(read, majority=majority)]
    return RecordedJudge("jury (majority)" if majority else "jury (mean)", verdicts)


def juries(judges: Sequence[RecordedJudge]) -> list[RecordedJudge]:
    """Return the juries of several judges by mean and by majority; none for fewer than two judges."""
    found = [jury(judges, majority=majority) for majority in (False, True)] if len(judges) > 1 else []
    return [one for one in found if one.verdicts]


def _mean(rows: Sequence[Row], name: str) -> float | None:
    """Return the mean of a column, in either published spelling; None if the file lacks it."""
    values = [row.get(name, row.get(f"preference_{name}")) for row in rows]
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)]
    return math.fsum(numbers) / len(numbers) if numbers else None
