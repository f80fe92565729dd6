"""What a person edits while a run is paused: wrong values are one clear error, drafts can be dropped at every step."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import InvalidUpdateError
from langgraph.types import Overwrite

from moa_graph import InputError, create_moa
from tests.fakes import Fake, ServerFault, fake

CONFIG: Any = {"configurable": {"thread_id": "1"}}
NOTE: dict[str, Any] = {
    "layer": 1, "slot": 0, "kind": "vote", "by": "p0-a", "text": "", "data": None, "status": "ok", "error": None,
    "usage": None, "cost": None, "attempts": 0,
}  # fmt: skip
PROBLEMS = '{"problems": [{"kind": "wrong", "what": "this"}]}'

AT_ONCE: list[tuple[str, Any, str]] = [
    ("next", None, r"state\.next: expected a list of nodes"),
    ("next", [], r"state\.next: expected a list of nodes"),
    ("next", "aggregate", r"state\.next: expected a list of nodes"),
    ("next", ["nope"], r'state\.next: "nope" is not a node'),
    ("next", ["gather"], r'state\.next: "gather" is not a node'),
    ("next", [["aggregate"]], r'state\.next: \["aggregate"\] is not a node'),
    ("notes", None, "notes: expected a list"),
    ("notes", ["x"], r"notes\[0\]: expected a mapping"),
    ("notes", [{"layer": 1}], r"notes\[0\]\.slot: this field is required"),
    ("notes", [{**NOTE, "kind": []}], r"notes\[0\]\.kind"),
]
AT_THE_RESUME: list[tuple[str, Any, str]] = [
    ("layer", None, r"state\.layer: expected a layer of this run, 0 to 2"),
    ("layer", "1", r'state\.layer: .* got "1"'),
    ("layer", 1.0, r"state\.layer: "),
    ("layer", -1, r"state\.layer: "),
    ("layer", 99, r"state\.layer: "),
    ("layer", 2, r"state\.next: p0-a does not run in layer 2"),
    ("run", "x", r"state\.run: expected a mapping"),
    ("run", {"id": None}, r"state\.run\.id: expected text"),
    ("run", {"id": [1]}, r"state\.run\.id: expected text"),
    ("run", {"layers": "2"}, r"state\.run\.layers: expected 1 to 10"),
    ("run", {"layers": 99}, r"state\.run\.layers: expected 1 to 10"),
    ("run", {"combine": "nope"}, r"state\.run\.combine: expected one of synthesize"),
    ("run", {"combine": []}, r"state\.run\.combine: "),
    ("notes", [{name: NOTE[name] for name in ("layer", "slot", "kind")}], r"notes\[0\]\.by: this field is required"),
    ("notes", [{**NOTE, "usage": 3}], r"notes\[0\]\.usage"),
    ("notes", [{**NOTE, "data": {}}, {**NOTE, "slot": 1, "data": {"a": 1}}], r"notes\[1\]\.data\.answer"),
    ("notes", [{**NOTE, "kind": "scores", "data": {"scores": {"0": "x"}}}], r"notes\[0\]\.data\.scores"),
    ("notes", [{**NOTE, "kind": "review", "data": {"problems": ["x"]}}], r"notes\[0\]\.data\.problems\[0\]"),
    ("notes", [{**NOTE, "kind": "check", "data": {"passed": "yes", "score": None}}], r"notes\[0\]\.data"),
]


def paused(*proposers: Fake, before: str = "*", steps: int = 2, **options: Any) -> Any:
    """Return a graph whose run is paused before its `steps`th step."""
    graph = create_moa(proposers=proposers, aggregator=fake("z", PROBLEMS), checkpointer=InMemorySaver(), **options)
    graph.invoke({"messages": "q"}, CONFIG, interrupt_before=before)
    for _ in range(steps - 1):
        graph.invoke(None, CONFIG, interrupt_before=before)
    return graph


@pytest.mark.parametrize(("field", "value", "reason"), AT_ONCE, ids=str)
def test_an_edit_that_cannot_be_read_is_refused(field: str, value: Any, reason: str) -> None:
    graph = paused(fake("a"), fake("b"))
    with pytest.raises(InvalidUpdateError, match=reason) as caught:
        graph.update_state(CONFIG, {field: value})
    assert isinstance(caught.value, InputError)


@pytest.mark.parametrize(("field", "value", "reason"), AT_THE_RESUME, ids=str)
async def test_an_edit_that_no_node_could_have_written_is_refused_before_any_request(
    field: str, value: Any, reason: str
) -> None:
    graph = paused(proposer := fake("a"), fake("b"))
    if field == "run" and isinstance(value, dict):
        value = {**graph.get_state(CONFIG).values["run"], **value}
    await graph.aupdate_state(CONFIG, {field: value})
    with pytest.raises(InputError, match=reason):
        await graph.ainvoke(None, CONFIG)
    with pytest.raises(InputError, match=reason):
        graph.invoke(None, CONFIG)
    assert not proposer.sent


@pytest.mark.parametrize("missing", ["id", "mixture", "layers", "combine", "started"])
def test_a_run_without_one_of_its_facts_is_refused(missing: str) -> None:
    graph = paused(fake("a"))
    run = graph.get_state(CONFIG).values["run"]
    graph.update_state(CONFIG, {"run": {name: run[name] for name in run if name != missing}})
    with pytest.raises(InputError, match=rf"state\.run\.{missing}: missing"):
        graph.invoke(None, CONFIG)


def test_more_rounds_than_the_mixture_describes_are_refused() -> None:
    rounds = [[fake("a")], [fake("b")]]
    graph = create_moa(rounds=rounds, aggregator=fake("z"), checkpointer=InMemorySaver())
    graph.invoke({"messages": "q"}, CONFIG, interrupt_after=["begin"])
    graph.update_state(CONFIG, {"run": {**graph.get_state(CONFIG).values["run"], "layers": 5}})
    with pytest.raises(InputError, match=r"state\.run\.layers: expected 1 to 3, got 5"):
        graph.invoke(None, CONFIG)


@pytest.mark.parametrize("steps", [4, 5, 6])
@pytest.mark.parametrize("slots", [[0], [1], [0, 1]], ids=str)
def test_a_draft_is_dropped_at_every_step_of_a_critique(steps: int, slots: list[int]) -> None:
    """Before its reviewer, after it, and before its author revises it."""
    authors = [fake(name, PROBLEMS) for name in "abc"]
    graph = paused(*authors, steps=steps, combine="critique")
    drafts = graph.get_state(CONFIG).values["drafts"]
    dropped = [{**drafts[slot], "status": "dropped"} for slot in slots]
    graph.update_state(CONFIG, {"drafts": dropped}, as_node=None if steps != 5 else "reviewer-0")
    result = graph.invoke(None, CONFIG)
    assert result["messages"][-1].content == PROBLEMS
    unused = [(each["slot"], each["status"]) for each in result["record"]["unused"] if each["layer"] == 1]
    assert set(unused) >= {(slot, "dropped") for slot in slots}
    assert all(len(authors[slot].sent) < 3 for slot in slots)


def test_reviews_that_a_person_removed_are_not_needed() -> None:
    graph = paused(*(fake(name, PROBLEMS) for name in "ab"), steps=6, combine="critique")
    graph.update_state(CONFIG, {"notes": Overwrite([])}, as_node="gather")
    assert graph.invoke(None, CONFIG)["messages"][-1].content == PROBLEMS


def test_a_draft_is_dropped_before_its_author_repairs_it() -> None:
    check = {"name": "verify", "check": lambda messages, text: False, "repairs": 1}
    graph = paused(first := fake("a"), second := fake("b"), steps=4, combine=check)
    drafts = graph.get_state(CONFIG).values["drafts"]
    graph.update_state(CONFIG, {"drafts": [{**drafts[0], "status": "dropped"}]})
    result = graph.invoke(None, CONFIG)
    assert (len(first.sent), len(second.sent)) == (1, 2)
    assert [draft["status"] for draft in result["drafts"]] == ["dropped", "ok", "skipped", "ok"]
    assert "its draft was dropped" in result["drafts"][2]["error"]


@pytest.mark.parametrize("options", [{}, {"by": "peers"}, {"keep": "all"}, {"keep": 2, "show_scores": True}], ids=str)
def test_a_draft_that_counts_only_after_the_verdicts_comes_last(options: dict[str, Any]) -> None:
    scores = '{"scores": [5, 3]}'
    failed = fake("c", ServerFault(401))
    graph = create_moa(
        proposers=[fake("a", scores), fake("b", scores), failed],
        aggregator=fake("z", scores),
        combine={"name": "select", **options},
        checkpointer=InMemorySaver(),
    )
    graph.invoke({"messages": "q"}, CONFIG, interrupt_before=["aggregate"])
    draft = graph.get_state(CONFIG).values["drafts"][2]
    graph.update_state(CONFIG, {"drafts": [{**draft, "status": "ok", "text": "a person's"}]})
    decision = graph.invoke(None, CONFIG)["record"]["decision"]
    assert decision["scores"]["2"] == 0
    assert 2 not in decision["selected"] or decision["selected"][-1] == 2


SCORES = '{"scores": [1, 2, 3]}'
EDITED: dict[str, dict[str, Any]] = {
    "two layers": {},
    "three layers": {"layers": 3},
    "vote": {"combine": "vote"},
    "vote one by one": {"combine": {"name": "vote", "batch": 1, "stop": False}},
    "select": {"combine": "select"},
    "repairs": {"combine": {"name": "verify", "check": lambda messages, text: False, "repairs": 1}},
    "critique": {"combine": {"name": "critique", "reviewers": [fake("r", PROBLEMS)]}},
    "strong": {"combine": {"name": "escalate", "strong": [fake("s")]}},
}


@pytest.mark.parametrize("pause", [1, 2])
@pytest.mark.parametrize("way", EDITED)
def test_a_draft_may_be_edited_as_its_proposer_after_gather(way: str, pause: int) -> None:
    outcomes = []
    for as_proposer in (False, True):
        authors, aggregator = [fake(name, f"I say {name}.") for name in "abc"], fake("z", SCORES)
        graph = create_moa(
            proposers=authors,
            aggregator=aggregator,
            checkpointer=InMemorySaver(),
            interrupt_after=["gather"],
            **EDITED[way],
        )
        graph.invoke({"messages": "q"}, CONFIG)
        for _ in range(pause - 1):
            graph.invoke(None, CONFIG)
        draft = {**graph.get_state(CONFIG).values["drafts"][0], "text": "I say so."}
        graph.update_state(CONFIG, {"drafts": [draft]}, as_node=draft["proposer"] if as_proposer else "gather")
        while graph.get_state(CONFIG).next:
            result = graph.invoke(None, CONFIG)
        record = {**result["record"], "seconds": 0.0}
        requests = [len(model.sent) for model in (*authors, aggregator)]
        texts = [(each["layer"], each["slot"], each["text"]) for each in result["drafts"]]
        outcomes.append((record, requests, texts, result["messages"][-1].content))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("slots", [[0], [0, 1]], ids=str)
def test_a_reviewer_whose_draft_was_dropped_says_so(slots: list[int]) -> None:
    graph = paused(*(fake(name, PROBLEMS) for name in "abc"), steps=4, combine="critique")
    drafts = graph.get_state(CONFIG).values["drafts"]
    dropped = [{**drafts[slot], "status": "dropped"} for slot in slots]
    graph.update_state(CONFIG, {"drafts": dropped})
    result = graph.invoke(None, CONFIG)
    notes = [(note["slot"], note["status"], note["error"]) for note in result["notes"] if note["data"] is None]
    assert notes == [(slot, "skipped", "its draft was dropped") for slot in slots]
