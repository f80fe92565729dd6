"""Changing any field of a mixture or of a run's context changes the run: a field without a case here fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from moa_graph import Ledger, Mixture, MoAContext, create_moa
from tests.clocks import virtual_time
from tests.fakes import Came, Fake, ServerFault, came, fake

SLOW = 2.0
"""Seconds of a slow fake; deadlines and graces in these cases are well below or above it."""


class Case(NamedTuple):
    """A run before and after one change. `see` returns the observed value; it gets the run and the fakes by name."""

    before: dict[str, Any]
    change: Any
    see: Callable[[Came, dict[str, Fake]], Any]
    expected: tuple[Any, Any]
    fakes: dict[str, dict[str, Any]] = {}  # noqa: RUF012


def two(**fields: Any) -> dict[str, Any]:
    return {"proposers": ["a", "b"], "aggregator": "z", **fields}


def statuses(run: Came, _: dict[str, Fake]) -> Any:
    return run.statuses


def calls(run: Came, fakes: dict[str, Fake]) -> Any:
    return sum(len(each.sent) for each in fakes.values())


def error(run: Came, _: dict[str, Fake]) -> Any:
    return type(run.error).__name__ if run.error else None


def first_words(name: str) -> Callable[[Came, dict[str, Fake]], Any]:
    """The first words of the first message that a fake got."""
    return lambda run, fakes: fakes[name].sent[0].text[:12]


def to(name: str, text: str) -> Callable[[Came, dict[str, Fake]], Any]:
    """Whether a fake's first request has the text."""
    return lambda run, fakes: text in fakes[name].sent[0].text


def answered_by(run: Came, _: dict[str, Fake]) -> Any:
    return run.answer


def order(run: Came, fakes: dict[str, Fake]) -> Any:
    """Whether the aggregator got the drafts in slot order."""
    text = fakes["z"].sent[0].text
    places = [text.index(f"draft of {name}") for name in "abcdefghi"]
    return places == sorted(places)


def kinds(kind: str) -> Callable[[Came, dict[str, Fake]], Any]:
    return lambda run, _: kind in run.kinds()


FAILING = {"replies": (ServerFault(400),)}
BUSY = {"replies": (ServerFault(503, headers={"retry-after": "0"}), "I am a.")}
NINE = {name: {"replies": (f"draft of {name}",)} for name in "abcdefghi"}
PRICED = {name: {"usage": (1000, 1000)} for name in "abz"}
PRICES = {f"Fake:{name}": [1.0, 1.0] for name in "abz"}

MIXTURE = {
    "proposers": Case(two(), ["a"], calls, (3, 2)),
    "rounds": Case({"rounds": [["a"]], "aggregator": "z"}, [["a", "b"], ["a"]], calls, (2, 4)),
    "aggregator": Case(two(), "y", answered_by, ("I am z.", "I am y.")),
    "layers": Case(two(), 3, calls, (3, 5)),
    "prompt": Case(two(), "paper", to("z", "1. I am a."), (False, True)),
    "system": Case(two(), "Be kind.", first_words("a"), ("[human] q", "[system] Be ")),
    "shuffle": Case({"proposers": [*"abcdefghi"], "aggregator": "z"}, True, order, (True, False), NINE),
    "sees": Case(
        {"proposers": [*"abc"], "aggregator": "z", "layers": 3},
        1,
        lambda run, fakes: fakes["a"].sent[1].text.count("I am "),
        (3, 1),
    ),
    "combine": Case(two(), "vote", calls, (3, 2)),
    "draft_tokens": Case(two(), 16, to("z", "word " * 300), (True, False), {"a": {"replies": ("word " * 400,)}}),
    "deadline": Case(two(), 1.0, statuses, (["ok", "ok"], ["ok", "failed"]), {"b": {"delay": SLOW}}),
    "run_deadline": Case(two(), 1.0, statuses, (["ok", "ok"], ["ok", "late"]), {"b": {"delay": SLOW}}),
    "quorum": Case(two(), 1, statuses, (["ok", "ok"], ["ok", "late"]), {"b": {"delay": SLOW}}),
    "grace": Case(two(quorum=1), 10 * SLOW, statuses, (["ok", "late"], ["ok", "ok"]), {"b": {"delay": SLOW}}),
    "min_drafts": Case(two(), 2, error, (None, "NotEnoughDraftsError"), {"b": FAILING}),
    "fallbacks": Case(two(), ["y"], error, ("AggregationError", None), {"z": FAILING}),
    "on_failure": Case(two(), "best_draft", error, ("AggregationError", None), {"z": FAILING}),
    "max_attempts": Case(two(), 1, statuses, (["ok", "ok"], ["failed", "ok"]), {"a": BUSY}),
    "hedge": Case(two(), SLOW / 8, lambda run, fakes: len(fakes["b"].sent), (1, 2), {"b": {"delay": SLOW}}),
    "max_cost": Case(two(prices=PRICES), 1e-9, error, (None, "BudgetError"), PRICED),
    "max_calls": Case(two(), 2, error, (None, "BudgetError")),
    "prices": Case(two(), PRICES, lambda run, _: run.result["record"]["cost"], (None, pytest.approx(0.006)), PRICED),
    "name": Case(two(), "mine", lambda run, _: run.result["record"]["preset"], (None, "mine")),
}

DESCRIPTIVE = {"description", "date", "source", "note"}
"""Fields that say something about a mixture: they are shown, and change no run."""

CONTEXT = {
    "layers": Case(two(), 3, calls, (3, 5)),
    "combine": Case(two(combiners=["vote"]), "vote", calls, (3, 2)),
    "prompt": MIXTURE["prompt"],
    "system": MIXTURE["system"],
    "aggregator": Case(two(fallbacks=["y"]), "Fake:y", answered_by, ("I am z.", "I am y.")),
    "temperature": Case(
        two(), 0.5, lambda run, fakes: [fakes[n].sent[0].temperature for n in "az"], ([None, None], [0.5, 0.5])
    ),
    "max_tokens": Case(
        two(), 7, lambda run, fakes: [fakes[n].sent[0].max_tokens for n in "az"], ([None, None], [7, 7])
    ),
    "deadline": MIXTURE["deadline"],
    "run_deadline": MIXTURE["run_deadline"],
    "quorum": MIXTURE["quorum"],
    "grace": MIXTURE["grace"],
    "min_drafts": MIXTURE["min_drafts"],
    "max_cost": MIXTURE["max_cost"],
    "max_calls": MIXTURE["max_calls"],
    "stream_drafts": Case(two(), True, kinds("draft_token"), (False, True)),
    "stream_answer": Case(two(), True, kinds("answer_token"), (False, True)),
}

LEDGER = {"item": ("one", "two"), "repeat": (0, 1)}
"""Fields that distinguish the questions of a batch: with a ledger, another value is another call."""


def made(case: Case, change: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Fake]]:
    """The mixture's fields with fakes in place of their names, and those fakes."""
    fakes: dict[str, Fake] = {}

    def model(name: str) -> Fake:
        if name not in fakes:
            given = case.fakes.get(name, {})
            fakes[name] = fake(name, *given.get("replies", ()), **{k: v for k, v in given.items() if k != "replies"})
        return fakes[name]

    fields = {**case.before, **change}
    if isinstance(fields.get("aggregator"), str):
        fields["aggregator"] = model(fields["aggregator"])
    for several in ("proposers", "fallbacks"):
        if several in fields:
            fields[several] = [model(name) for name in fields[several]]
    if "rounds" in fields:
        fields["rounds"] = [[model(name) for name in names] for names in fields["rounds"]]
    return fields, fakes


CHOICES = {"combiners"}
"""Fields that say what a context may choose from: the context's own cases show them."""


def test_every_field_has_a_case() -> None:
    assert set(MIXTURE) | DESCRIPTIVE | CHOICES == set(Mixture.model_fields)
    assert set(CONTEXT) | set(LEDGER) == set(MoAContext.model_fields)


@pytest.mark.parametrize("name", MIXTURE)
@virtual_time
async def test_a_field_of_a_mixture_changes_the_run(name: str) -> None:
    case = MIXTURE[name]
    before, fakes = made(case, {})
    assert case.see(await came(before), fakes) == case.expected[0]
    after, fakes = made(case, {name: case.change})
    assert case.see(await came(after), fakes) == case.expected[1]


@pytest.mark.parametrize("name", CONTEXT)
@virtual_time
async def test_a_field_of_the_context_changes_the_run(name: str) -> None:
    case = CONTEXT[name]
    for context, expected in zip(({}, {name: case.change}), case.expected, strict=True):
        fields, fakes = made(case, {})
        assert case.see(await came(fields, context), fakes) == expected


@pytest.mark.parametrize("name", LEDGER)
async def test_a_field_of_the_context_is_part_of_the_ledgers_key(name: str, tmp_path: Path) -> None:
    fields, fakes = made(Case(two(), None, calls, (0, 0)), {})
    graph = create_moa(**fields, ledger=Ledger(tmp_path / "paid.ledger", run="r"))
    sent = []
    for value in (LEDGER[name][0], LEDGER[name][0], LEDGER[name][1]):
        await graph.ainvoke({"messages": "q"}, context={name: value})  # type: ignore[misc]
        sent.append(sum(len(each.sent) for each in fakes.values()))
    assert sent == [3, 3, 6]


@pytest.mark.parametrize("name", sorted(DESCRIPTIVE))
def test_a_description_is_not_in_the_mixtures_hash(name: str) -> None:
    plain = Mixture(proposers=["openai:a"], aggregator="openai:b")
    assert plain.changed(**{name: "x"}).hash == plain.hash  # type: ignore[misc]
