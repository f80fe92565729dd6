"""Pairs with several human votes, and a judge's runs over the same pairs.

Two formats are supported. AlpacaFarm's cross-annotations have one row per vote, keyed by the three texts. PandaLM's
have one row per pair with annotator1.., keyed by idx; its judges' files have one ``..._result`` per idx, a number or a
text. Labels become preferences: 1, 2, and 1.5 for a tie.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row

Key = tuple[str, ...]


@dataclass
class Pair:
    """One instruction with two outputs. `votes` are the humans', in order; `system` groups pairs for rankings."""

    key: Key
    output_1: str
    output_2: str
    votes: list[float] = field(default_factory=list)
    system: str | None = None


@dataclass
class Humans:
    """Human votes over pairs, and the mean price and time of a vote if the file has them."""

    pairs: dict[Key, Pair]
    runs: int
    price: float | None = None
    time: float | None = None
    smallest_system: int = 0


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


_WORDS = {"tie": 1.5, "model_1": 1.0, "model_2": 2.0, "a": 1.0, "b": 2.0, "c": 1.5}


def label(value: Any) -> float | None:
    """Return a vote as a preference from 1 to 2; None if it is not a vote.

    A number may be quoted, a tie may be a word.
    """
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _WORDS:
            return _WORDS[word]
        try:
            value = float(word)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    if value == 0:
        return 1.5
    return float(value) if 1 <= value <= 2 else None


def humans(rows: Sequence[Row], generators: Sequence[Row] = ()) -> Humans:
    """Read human votes in either format. `generators` (AlpacaFarm's annotations) names the system of each pair.

    Raises:
        InputError: Fewer than two humans voted, or no pair has all their votes.
    """
    if not rows:
        raise InputError("the file of human votes is empty")
    read = _pandalm_humans(rows) if "annotator1" in rows[0] else _alpaca_farm_humans(rows, generators)
    if read.runs < 2 or not read.pairs:
        raise InputError("rating a judge needs pairs with at least two readable human votes")
    return read


def _pandalm_humans(rows: Sequence[Row]) -> Humans:
    names = sorted((k for k in rows[0] if re.fullmatch(r"annotator\d+", k)), key=lambda k: int(k[9:]))
    pairs: dict[Key, Pair] = {}
    for row in rows:
        votes = [vote for name in names if (vote := label(row.get(name))) is not None]
        if len(votes) == len(names):
            key = (str(row["idx"]),)
            # A few responses in the file are NaN or a bool, so they are converted to text.
            pairs[key] = Pair(key, str(row["response1"]), str(row["response2"]), votes, str(row.get("cmp_key", "")))
    return Humans(pairs, runs=len(names))


def _alpaca_farm_humans(rows: Sequence[Row], generators: Sequence[Row]) -> Humans:
    # Two systems may have the same outputs; the first one counts, as in the published table.
    systems = {_key(row): str(row["generator"]) for row in reversed(generators) if row.get("generator")}
    pairs: dict[Key, Pair] = {}
    for row in rows:
        vote, key = label(row.get("preference")), _key(row)
        if vote is None:
            continue
        if key not in pairs:
            # Rankings use the evaluation split only.
            ranked = row.get("datasplit", "eval") == "eval"
            system = systems.get(key) or row.get("generator") if ranked else None
            pairs[key] = Pair(key, str(row["output_1"]), str(row["output_2"]), [], system)
        pairs[key].votes.append(vote)
    # Texts that occur twice have twice the votes; the usual number is used, as in the published table.
    counts = Counter(len(pair.votes) for pair in pairs.values())
    runs = counts.most_common(1)[0][0] if counts else 0
    kept = {key: pair for key, pair in pairs.items() if len(pair.votes) >= runs}
    for pair in kept.values():
        del pair.votes[runs:]
    # The published table ranks systems with more than 100 votes.
    return Humans(kept, runs, _mean(rows, "price_per_example"), _mean(rows, "time_per_example"), 100)


def _key(row: Row) -> Key:
    try:
        return (str(row["instruction"]), str(row["output_1"]), str(row["output_2"]))
    except KeyError as error:
        raise InputError(f"a row has no {error}: neither AlpacaFarm's form nor PandaLM's") from error


def judge(name: str, rows: Sequence[Row]) -> RecordedJudge:
    """Read a judge's verdicts in either format; rows of one pair are its runs, in file order.

    Raises:
        InputError: The file is empty, or no verdict could be read; the message names the first one.
    """
    if not rows:
        raise InputError(f"the file of judge {name!r} is empty")
    result = next((key for key in rows[0] if key.endswith("_result")), None)
    verdicts: dict[Key, list[float | None]] = {}
    unreadable = None
    for number, row in enumerate(rows, 1):
        key = (str(row["idx"]),) if result and "idx" in row else _key(row)
        value = row.get(result or "preference")
        verdicts.setdefault(key, []).append(label(value))
        if unreadable is None and verdicts[key][-1] is None:
            shown = repr(value)
            unreadable = f"row {number} has {result or 'preference'} {shown[:60]}"
    if not any(vote is not None for votes in verdicts.values() for vote in votes):
        raise InputError(
            f"no verdict of judge {name!r} could be read: {unreadable}; a verdict is 1, 2, a number between, or a tie "
            '(0, 1.5 or "Tie")'
        )
    price, time = _mean(rows, "price_per_example"), _mean(rows, "time_per_example")
    return RecordedJudge(name, verdicts, price, time, unreadable)


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
            lean = sum((vote > 1.5) - (vote < 1.5) for vote in read)
            most = 2.0 if lean > 0 else 1.0 if lean < 0 else 1.5
            verdicts[key] = [most if majority else math.fsum(read) / len(read)]
    return RecordedJudge("jury (majority)" if majority else "jury (mean)", verdicts)


def _mean(rows: Sequence[Row], name: str) -> float | None:
    """Return the mean of a column, in either published spelling; None if the file lacks it."""
    values = [row.get(name, row.get(f"preference_{name}")) for row in rows]
    numbers = [float(v) for v in values if isinstance(v, int | float) and not math.isnan(v)]
    return math.fsum(numbers) / len(numbers) if numbers else None
