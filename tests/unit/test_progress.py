"""The table of calls that `moa ask` draws: every state, costs, combiners' own calls, narrow terminals."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console
from rich.live import Live

from moa_graph.cli.output.progress import Progress
from moa_graph.state import Usage, new_usage

MODEL = "openai:a-model-with-a-name-of-forty-characters"


def draft(
    slot: int, status: str, *, cost: float | None = 0.0123, tokens: int | None = 64, **more: Any
) -> dict[str, Any]:
    usage: Usage | None = None if tokens is None else new_usage(100, tokens)
    text = "x" if status in ("ok", "truncated") else ""
    whole = {"layer": 1, "slot": slot, "proposer": f"p{slot}-model", "model": MODEL, "status": status, "text": text}
    whole |= {"error": None, "usage": usage, "cost": cost, "seconds": 1.25, "attempts": 1, **more}
    return {"moa": "draft", "layer": 1, "slot": slot, "proposer": f"p{slot}-model", "draft": whole}


def note(by: str, kind: str, **more: Any) -> dict[str, Any]:
    whole = {"layer": 1, "slot": 0, "kind": kind, "by": by, "text": "", "data": {}, "status": "ok", "error": None}
    whole |= {"usage": new_usage(300, 12), "cost": 0.002, "attempts": 1, **more}
    return {"moa": "note", "layer": 1, "slot": 0, "kind": kind, "note": whole}


def begun(count: int) -> list[dict[str, Any]]:
    names = [{"slot": slot, "proposer": f"p{slot}-model", "model": MODEL} for slot in range(count)]
    started = [{"moa": "draft_started", "layer": 1, "slot": slot} for slot in range(count)]
    return [{"moa": "round_started", "layer": 1, "layers": 2, "proposers": names}, *started]


def table(events: Sequence[dict[str, Any]], *, width: int = 100, stop: bool = True) -> list[str]:
    progress = Progress()
    out = io.StringIO()
    progress._console = Console(file=out, width=width, color_system=None)
    progress._live = Live(console=progress._console, get_renderable=progress._view, auto_refresh=False)
    progress._live.start()
    for event in events:
        progress(event)
    progress.stop() if stop else progress._live.stop()
    out.truncate(0)
    out.seek(0)
    progress._console.print(progress._view())
    return [line.rstrip() for line in out.getvalue().splitlines()]


STATES = [(0, "ok"), (1, "late"), (2, "ok"), (3, "failed"), (4, "truncated"), (5, "skipped")]
ALL = [
    draft(0, "ok"),
    draft(1, "late", cost=None, tokens=None, error="3 other drafts were enough"),
    draft(2, "ok", attempts=2),
    draft(3, "failed", cost=0.0, tokens=None, error="401 wrong key"),
    draft(4, "truncated", cost=0.00001),
    draft(5, "skipped", cost=0.0, tokens=None, error="the window is too small"),
]


def test_every_draft_has_its_state_its_tokens_and_its_cost() -> None:
    head, *rows = table([*begun(6), *ALL])[:7]
    assert head.split() == ["layer", "proposer", "model", "state", "seconds", "tokens", "cost"]
    ends = [row.split(MODEL[:12])[1].split(maxsplit=1)[1] for row in rows]
    assert ["  ".join(end.split("  ")).split() for end in ends] == [
        ["ok", "1.2", "64", "$0.0123"],
        ["late", "1.2", "unknown"],
        ["ok,", "2", "requests", "1.2", "64", "$0.0123"],
        ["failed", "1.2", "$0"],
        ["truncated", "1.2", "64", "<$0.0001"],
        ["skipped", "1.2", "$0"],
    ]


def test_reasons_stand_below_the_table_in_full() -> None:
    below = table([*begun(6), *ALL])[7:]
    text = " ".join(" ".join(below).split())
    for slot, words in ((1, "late: 3 other drafts were enough"), (3, "failed: 401 wrong key"), (5, "skipped: the win")):
        assert f"p{slot}-model ({MODEL}): {words}" in text


def test_mixtures_without_prices_have_no_column_of_costs() -> None:
    head = table([*begun(1), draft(0, "ok", cost=None)])[0]
    assert "cost" not in head and "tokens" in head


def test_the_calls_of_a_combiner_are_rows_of_their_own() -> None:
    events = [*begun(2), draft(0, "ok"), draft(1, "ok"), note("judge-0", "scores"), note("analyst", "analysis")]
    counted = note("vote", "vote", usage=None, cost=0.0, attempts=0)
    rows = [row.split() for row in table([*events, counted])]
    assert ["1", "judge-0", "scores", "ok", "12", "$0.0020"] in rows
    assert ["1", "analyst", "analysis", "ok", "12", "$0.0020"] in rows
    assert not any("vote" in row for row in rows), "reading the drafts is no call"


def test_no_row_is_left_that_says_that_the_aggregator_works() -> None:
    events = [*begun(1), draft(0, "ok"), {"moa": "aggregating", "model": MODEL, "used": [0]}]
    assert any("aggregate" in row and "working" in row for row in table(events, stop=False))
    for last in ({"moa": "answer_token", "text": "x"}, {"moa": "finished", "record": {"status": "ok"}}):
        after = table([*events, last])
        assert not any("working" in row or "answering" in row for row in after)


def test_aggregators_that_failed_stay_and_the_next_one_is_shown() -> None:
    again = {"moa": "aggregating", "model": "openai:other", "used": [0]}
    events = [*begun(1), draft(0, "ok"), {"moa": "aggregating", "model": MODEL, "used": [0]}, again]
    rows = [row.split() for row in table(events, stop=False) if "aggregate" in row]
    assert [("failed" in row, "working" in row) for row in rows] == [(True, False), (False, True)]
    last = table([*events, {"moa": "failed", "error": "AggregationError", "message": "x"}])
    assert [row.split()[2] for row in last if "aggregate" in row] == ["failed", "failed"]


@pytest.mark.parametrize("width", [40, 50, 60, 72, 80, 100, 140])
def test_only_names_are_cut_on_a_narrow_terminal(width: int) -> None:
    lines = table([*begun(6), *ALL], width=width)
    assert all(len(line) <= width for line in lines)
    head, *rows = lines[:7]
    assert head.startswith("layer  p") and "  state" in head and "  seconds" in head
    for row, (_, status, *_) in zip(rows, STATES, strict=True):
        assert status in row and "  1.2" in row, row
    if width >= 50:
        assert "  tokens" in head and "64" in rows[0]
    if width >= 60:
        assert all(word in head for word in ("tokens", "cost")) and "$0.0123" in rows[0]
