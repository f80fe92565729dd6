"""Every combiner: its calls, its nodes, its answer, and that it falls back to `synthesize` when its own calls fail."""

import asyncio
import json
import re
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from moa_graph import ConfigError, Mixture, create_moa
from moa_graph.graph import agreement
from moa_graph.graph.combine import checks, schema_check
from moa_graph.graph.combine.checks import run_check
from moa_graph.mixture.combiners import NAMES, CommandCheck, SchemaCheck

_DRAFT = re.compile(r"\[draft (\d+) of \d+ begins: ([0-9a-f]{16})\]\n(.*?)\n\[draft \1 ends: \2\]", re.S)


class Fake(BaseChatModel):
    """Answers with a function of the request, or raises its exception. Keeps all requests."""

    model: str
    reply: Any = Field(exclude=True)
    seen: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "fake"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise AssertionError("only the async side is called")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        prompt = "\n".join(str(message.content) for message in messages)
        self.seen.append(prompt)
        found = self.reply(prompt) if callable(self.reply) else self.reply
        if isinstance(found, Exception):
            raise found
        return ChatResult(generations=[ChatGeneration(message=AIMessage(found))])


def fake(name: str, reply: str | Exception | Callable[[str], Any]) -> Fake:
    return Fake(model=name, reply=reply, seen=[])


def drafts_in(prompt: str) -> dict[str, str]:
    return {found[1]: found[3] for found in _DRAFT.finditer(prompt)}


def three(*texts: str) -> list[Fake]:
    return [fake(f"p{n}", text) for n, text in enumerate(texts or ("red", "green", "blue"))]


WRITER = "the writer's answer"


def scoring(best: str) -> Callable[[str], str]:
    return lambda prompt: json.dumps({"scores": {n: 9 if text == best else 2 for n, text in drafts_in(prompt).items()}})


async def run(graph: Any, **context: Any) -> tuple[dict[str, Any], list[str], list[dict[str, Any]]]:
    last: dict[str, Any] = {}
    steps: list[str] = []
    events: list[dict[str, Any]] = []
    async for mode, part in graph.astream(
        {"messages": "q"}, context=context, stream_mode=["updates", "values", "custom"]
    ):
        if mode == "updates":
            steps += list(part)
        elif mode == "custom":
            events.append(part)
        else:
            last = part
    return last, steps, events


ANALYSIS = {
    "consensus": ["it is a colour"],
    "contradictions": [{"topic": "which", "stances": [{"model": 1, "stance": "red"}, {"model": 9, "stance": "?"}]}],
    "partial_coverage": [{"models": [1, 3], "point": "warm"}],
    "unique_insights": [{"model": 2, "insight": "green"}],
    "blind_spots": ["why"],
}


async def test_analyze_has_an_analyst_and_then_a_writer() -> None:
    analyst, writer = fake("analyst", f"Sure:\n```json\n{json.dumps(ANALYSIS)}\n```"), fake("w", WRITER)
    mixture = Mixture(proposers=three(), aggregator=writer, combine={"name": "analyze", "analyst": analyst})
    result, steps, events = await run(create_moa(mixture))
    assert [s for s in steps if not s.startswith("p")] == ["begin", "gather", "analyst", "gather", "aggregate"]
    record = result["record"]
    assert record["calls"] == mixture.calls() == 5 and not record["degraded"] and record["combine"] == "analyze"
    data = record["decision"]["analysis"]
    names = [d["proposer"] for d in result["drafts"]]
    assert data["contradictions"][0]["stances"] == [{"model": names[0], "stance": "red"}]
    assert data["partial_coverage"] == [{"models": [names[0], names[2]], "point": "warm"}]
    assert [e["kind"] for e in events if e["moa"] == "note"] == ["analysis"]
    assert result["notes"][0]["data"] == data and result["notes"][0]["by"] == "analyst"
    assert "it is a colour" in writer.seen[0] and names[0] not in writer.seen[0]


def codes_out(prompt: str) -> str:
    return re.sub(r"[0-9a-f]{16}", "code", prompt)


@pytest.mark.parametrize("reply", ["no JSON here", '{"consensus": "none"}', "[]", RuntimeError("down"), ""])
async def test_whatever_the_analyst_does_the_writer_gets_the_bytes_of_synthesize(reply: Any) -> None:
    plain, writer = fake("w", WRITER), fake("w", WRITER)
    await run(create_moa(proposers=three(), aggregator=plain))
    graph = create_moa(proposers=three(), aggregator=writer, combine={"name": "analyze", "analyst": fake("a", reply)})
    result, _, _ = await run(graph)
    assert codes_out(writer.seen[0]) == codes_out(plain.seen[0])
    record = result["record"]
    assert record["degraded"] and any(reason.startswith("analyst: ") for reason in record["degraded_reasons"])
    assert result["messages"][-1].content == WRITER


async def test_an_analysis_report_is_the_answer_as_json() -> None:
    analyst = fake("a", json.dumps(ANALYSIS))
    graph = create_moa(proposers=three(), aggregator=analyst, combine={"name": "analyze", "answer": "none"})
    result, _, _ = await run(graph)
    assert json.loads(result["messages"][-1].content)["blind_spots"] == ["why"] and result["record"]["calls"] == 4


async def test_one_draft_needs_no_analyst() -> None:
    writer = fake("w", WRITER)
    result, steps, _ = await run(create_moa(proposers=three("red"), aggregator=writer, combine="analyze"))
    assert "analyst" not in steps and result["record"]["calls"] == 2 and not result["record"]["degraded"]


async def test_select_answers_with_the_best_draft_word_for_word_in_one_piece() -> None:
    judge = fake("j", scoring("green"))
    mixture = Mixture(proposers=three(), aggregator=fake("w", WRITER), combine={"name": "select", "judge": judge})
    result, steps, events = await run(create_moa(mixture), stream_answer=True)
    assert result["messages"][-1].content == "green" and "judge-0" in steps
    assert [e["text"] for e in events if e["moa"] == "answer_token"] == ["green"]
    assert result["record"]["calls"] == mixture.calls() == 4
    assert result["record"]["decision"]["selected"] == [1]


async def test_two_judges_see_opposite_orders() -> None:
    judge = fake("j", scoring("blue"))
    combine = {"name": "select", "judge": judge, "judges": 2}
    await run(create_moa(proposers=three(), aggregator=fake("w", WRITER), combine=combine))
    first, second = (list(drafts_in(prompt).values()) for prompt in judge.seen)
    assert first == second[::-1] and sorted(first) == ["blue", "green", "red"]


async def test_select_hands_the_best_to_the_writer() -> None:
    writer = fake("w", WRITER)
    judge = fake("j", '{"ranking": [2, 1, 3]}')
    combine = {"name": "select", "judge": judge, "verdict": "ranking", "keep": 2}
    mixture = Mixture(proposers=three(), aggregator=writer, combine=combine)
    result, _, _ = await run(create_moa(mixture))
    order = list(drafts_in(judge.seen[0]).values())
    assert set(drafts_in(writer.seen[0]).values()) == set(order[:2])
    assert result["record"]["calls"] == mixture.calls() == 5 and result["messages"][-1].content == WRITER


async def test_a_council_of_peers_shows_their_scores_to_the_chairman() -> None:
    def peer(text: str) -> Fake:
        return fake(text, lambda prompt: scoring("red")(prompt) if drafts_in(prompt) else text)

    writer = fake("w", WRITER)
    combine = {"name": "select", "by": "peers", "keep": "all", "show_scores": True}
    mixture = Mixture(proposers=[peer("red"), peer("green")], aggregator=writer, combine=combine)
    result, steps, _ = await run(create_moa(mixture))
    assert {"peer-0", "peer-1"} <= set(steps)
    assert result["record"]["calls"] == mixture.calls() == 5
    assert '{"1": 9.0, "2": 2.0}' in writer.seen[0]


async def test_without_a_readable_verdict_select_synthesizes() -> None:
    judge = fake("j", '{"scores": [11, 2, 3]}')
    graph = create_moa(proposers=three(), aggregator=fake("w", WRITER), combine={"name": "select", "judge": judge})
    result, _, _ = await run(graph)
    assert result["messages"][-1].content == WRITER
    assert "no readable verdict" in result["record"]["degraded_reasons"][0]


async def test_vote_returns_the_earliest_draft_of_the_winner() -> None:
    texts = ["So it is \\boxed{7}.", "The answer is 1,000.", "hence\n**Answer: 1000.0**", "#### 7", "\\boxed{1000}"]
    mixture = Mixture(proposers=three(*texts), aggregator=fake("w", WRITER), combine={"name": "vote", "stop": False})
    result, _, _ = await run(create_moa(mixture))
    record = result["record"]
    assert result["messages"][-1].content == texts[1] and record["calls"] == mixture.calls() == 5
    assert record["decision"]["counts"] == {"7": 2, "1000": 3} and not record["degraded"]
    assert [note["data"]["answer"] for note in result["notes"]] == ["7", "1000", "1000", "7", "1000"]


async def test_vote_in_batches_stops_when_the_leader_cannot_be_caught() -> None:
    mixture = Mixture(
        proposers=[{"model": fake("p", "#### 5"), "samples": 9}],
        aggregator=fake("w", WRITER),
        combine={"name": "vote", "batch": 2},
    )
    result, steps, _ = await run(create_moa(mixture))
    assert len(result["drafts"]) == result["record"]["calls"] == mixture.calls(least=True) == 6
    assert steps.count("gather") == 3 and not result["record"]["degraded"]


async def test_vote_stops_when_it_is_sure_enough() -> None:
    mixture = Mixture(
        proposers=[{"model": fake("p", "#### 5"), "samples": 40}],
        aggregator=fake("w", WRITER),
        combine={"name": "vote", "batch": 1, "sure": 0.95},
    )
    result, _, _ = await run(create_moa(mixture))
    assert len(result["drafts"]) == mixture.calls(least=True) == 4  # 1 - 1/2**5 = 0.97


async def test_weights_count() -> None:
    combine = {"name": "vote", "weights": [3, 1, 1], "stop": False}
    result, _, _ = await run(create_moa(proposers=three("a", "b", "b"), aggregator=fake("w", WRITER), combine=combine))
    assert result["messages"][-1].content == "a"


async def test_layers_that_do_not_fit_the_weights_are_refused_before_any_request() -> None:
    rounds = [three("a", "b", "c"), three("d", "e")[:2]]
    vote = {"name": "vote", "weights": [2, 1]}
    graph = create_moa(rounds=rounds, aggregator=fake("w", WRITER), combine=vote)
    with pytest.raises(ConfigError, match="weights: 2 weights, but with 2 layers the last round has 3 slots"):
        await run(graph, layers=2)
    assert not any(each.seen for each in rounds[0])
    result, _, _ = await run(graph)
    assert result["messages"][-1].content == "d"


async def test_verify_checks_nothing_and_misses_nothing_in_one_layer() -> None:
    verify = {"name": "verify", "check": lambda messages, text: False}
    result, _, _ = await run(create_moa(proposers=three(), aggregator=fake("w", WRITER), combine=verify, layers=1))
    assert result["record"]["degraded_reasons"] == [] and result["messages"][-1].content == WRITER


async def test_verify_returns_the_first_draft_that_passes() -> None:
    checked: list[str] = []

    def check(messages: Any, text: str) -> tuple[bool, float, str]:
        checked.append(text)
        return text == "green", 0.0, "not green"

    mixture = Mixture(proposers=three(), aggregator=fake("w", WRITER), combine={"name": "verify", "check": check})
    result, _, _ = await run(create_moa(mixture))
    assert result["messages"][-1].content == "green" and result["record"]["decision"]["passed"] == 1
    assert result["record"]["calls"] == 3


async def test_repairs_show_the_author_its_draft_and_the_words_of_the_check() -> None:
    author = fake("p", lambda prompt: "second" if "must say second" in prompt else "first")
    mixture = Mixture(
        proposers=[author],
        aggregator=fake("w", WRITER),
        combine={"name": "verify", "check": lambda m, t: (t == "second", None, "must say second"), "repairs": 2},
    )
    result, _, events = await run(create_moa(mixture))
    assert result["messages"][-1].content == "second" and result["record"]["calls"] == 2
    assert drafts_in(author.seen[1]) == {"1": "first"}
    assert [e["layer"] for e in events if e["moa"] == "round_started"] == [1, 2]


async def test_a_failed_repair_keeps_the_draft() -> None:
    def author(text: str, repaired: Any) -> Fake:
        return fake(text, lambda prompt: repaired if drafts_in(prompt) else text)

    for repaired in (RuntimeError("down"), "red repaired"):
        writer = fake("w", WRITER)
        combine = {"name": "verify", "check": lambda messages, text: False, "repairs": 1}
        proposers = [author("red", repaired), author("green", RuntimeError("down"))]
        result, _, _ = await run(create_moa(proposers=proposers, aggregator=writer, combine=combine))
        first = "red" if isinstance(repaired, Exception) else repaired
        assert list(drafts_in(writer.seen[0]).values()) == [first, "green"]
        assert result["record"]["degraded"]


async def test_without_a_pass_the_best_score_wins_and_then_the_writer() -> None:
    def scored(messages: Any, text: str) -> tuple[bool, float, str]:
        return False, len(text), "no"

    graph = create_moa(proposers=three(), aggregator=fake("w", WRITER), combine={"name": "verify", "check": scored})
    result, _, _ = await run(graph)
    assert result["messages"][-1].content == "green" and result["record"]["degraded"]

    def broken(messages: Any, text: str) -> bool:
        raise OSError("no compiler")

    graph = create_moa(proposers=three(), aggregator=fake("w", WRITER), combine={"name": "verify", "check": broken})
    result, _, _ = await run(graph)
    assert result["messages"][-1].content == WRITER
    assert "OSError: no compiler" in result["record"]["degraded_reasons"][-1]


@pytest.mark.parametrize(
    ("check", "status", "words"),
    [
        ({"command": ["sh", "-c", "grep -q green || { echo not green >&2; exit 1; }"]}, "ok", "not green"),
        ({"command": ["sh", "-c", "sleep 30 & wait"], "seconds": 0.3}, "failed", "did not end within 0.3 s"),
        ({"command": ["/no/such/program"]}, "failed", "FileNotFoundError"),
        ({"json_schema": {"type": "object"}}, "ok", "not JSON"),
    ],
)
async def test_checks_by_program_and_schema(check: Any, status: str, words: str) -> None:
    graph = create_moa(proposers=three("red"), aggregator=fake("w", WRITER), combine={"name": "verify", "check": check})
    result, _, _ = await run(graph)
    note = result["notes"][0]
    assert note["status"] == status and words in (note["text"] or note["error"])
    assert result["messages"][-1].content == WRITER and result["record"]["degraded"]


async def test_a_long_draft_is_checked_by_a_schema_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = list[threading.Thread]()

    def loads(text: str, **options: Any) -> Any:
        threads.append(threading.current_thread())
        return json.loads(text, **options)

    monkeypatch.setattr(schema_check, "json", SimpleNamespace(loads=loads, dumps=json.dumps))
    check = SchemaCheck(json_schema={"type": "array", "items": {"type": "integer"}})
    long = "[" + "1," * 5_000 + "1]"
    assert (await run_check(check, [], long)).passed and threads.pop() is not threading.main_thread()
    assert (await run_check(check, [], "[1]")).passed
    verdict = await run_check(check, [], "[" + "1," * 200_000 + "1]")
    assert (verdict.passed, verdict.message) == (False, "the JSON has more than 150,000 values")


def doubled(levels: int, **at_the_end: Any) -> dict[str, Any]:
    """A schema whose references double at each level."""
    parts = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**parts, f"a{levels}": at_the_end}, "$ref": "#/$defs/a0"}


BINARY = {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}


@pytest.mark.parametrize(
    ("schema", "text", "apart"),
    [
        (doubled(14), "{}", True),
        (doubled(300), "{}", True),
        ({"anyOf": [BINARY, {**BINARY, "required": ["left"]}]}, "{}", True),
        ({"$defs": {"a~/b%": {"items": {"$ref": "#/$defs/a~0~1b%25"}}}, "$ref": "#/$defs/a~0~1b%25"}, "[]", True),
        ({"allOf": [{"allOf": [{}], "unevaluatedProperties": False}], "unevaluatedProperties": False}, "{}", True),
        (doubled(8), "[" + "1," * 200 + "1]", True),
        (doubled(3, type="array"), "[1]", False),
        ({"anyOf": [{"type": "object"}, {"type": "array"}]}, "[" + "1," * 20_000 + "1]", False),
    ],
)
async def test_schemas_that_multiply_are_checked_by_a_process_of_their_own(
    schema: dict[str, Any], text: str, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(*_arguments: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(checks, "_run", slow)
    verdict = await run_check(SchemaCheck(json_schema=schema), [], text)
    assert (verdict.passed, verdict.error) == (not apart, "the check did not end within 10 s" if apart else None)


@pytest.mark.parametrize("way", ["select", "escalate", "best_draft"])
async def test_long_drafts_are_compared_beside_the_event_loop(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, words = list[threading.Thread](), agreement.words

    def watched(text: str) -> frozenset[str]:
        threads.append(threading.current_thread())
        return words(text)

    monkeypatch.setattr(agreement, "words", watched)
    fails = way == "best_draft"
    mixture: dict[str, Any] = {
        "proposers": three("red " * 20_000, "green " * 20_000),
        "aggregator": fake("w", RuntimeError("down") if fails else '{"scores": [1, 2]}'),
        "on_failure": "best_draft",
    }
    if not fails:
        strong = {"strong": [fake("s", "x")], "agree": 0.5} if way == "escalate" else {}
        mixture["combine"] = {"name": way, **strong}
    result, _, _ = await run(create_moa(Mixture(**mixture)))
    assert threads and threading.main_thread() not in threads
    assert result["messages"][-1].content == ("x" if way == "escalate" else "green " * 20_000).strip()


@given(st.text(alphabet="aB1_ é\n-Ω"), st.integers(1, 5))
def test_the_words_of_a_long_text_are_those_of_its_slices(text: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agreement, "_SLICE", size)
        assert agreement.words(text) == {*re.findall(r"\w+", text.lower())}


async def test_a_program_gets_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    check = {"command": ["sh", "-c", 'test -z "$OPENAI_API_KEY"']}
    graph = create_moa(proposers=three("red"), aggregator=fake("w", WRITER), combine={"name": "verify", "check": check})
    assert (await run(graph))[0]["messages"][-1].content == "red"


def cheap(*texts: str) -> dict[str, Any]:
    return {"proposers": three(*texts), "aggregator": fake("w", WRITER)}


@pytest.mark.parametrize("layers", [None, 1, 2, 5])
async def test_escalate_ends_on_agreement_and_calls_the_strong_one_otherwise(layers: int | None) -> None:
    for texts, answer, calls in (
        (("#### 1", "is \\boxed{1}"), "is \\boxed{1}", 2),
        (("#### 1", "#### 2"), "#### 3", 3),
    ):
        strong = fake("s", "#### 3")
        mixture = Mixture(**cheap(*texts), combine={"name": "escalate", "strong": [strong]})
        result, _, _ = await run(create_moa(mixture), **({"layers": layers} if layers else {}))
        assert (result["messages"][-1].content, result["record"]["calls"]) == (answer, calls)
        assert result["record"]["decision"]["escalated"] == (calls == 3)
    assert (mixture.calls(least=True), mixture.calls()) == (2, 3)


async def test_escalate_may_ask_a_model_whether_drafts_agree() -> None:
    for said, answer in (('{"answer": "yes"}', "a red"), ("No.", "#### 3"), ("perhaps", "#### 3")):
        combine = {"name": "escalate", "strong": [fake("s", "#### 3")], "agree": "model", "comparator": fake("c", said)}
        result, steps, _ = await run(create_moa(**cheap("red", "a red"), combine=combine))
        assert result["messages"][-1].content == answer and "comparator" in steps
        assert result["record"]["degraded"] == (said == "perhaps")


async def test_a_gate_spares_the_mixture() -> None:
    for said, calls, answer in (("no", 2, WRITER), ("yes", 3, "green"), (RuntimeError("down"), 3, "green")):
        gate = fake("g", said)
        combine = {"name": "escalate", "strong": [fake("s", "x")], "agree": 0.0, "gate": {"model": gate}}
        result, steps, _ = await run(create_moa(**cheap("red", "green"), combine=combine))
        assert (result["messages"][-1].content, result["record"]["calls"]) == (answer, calls)
        assert steps[:3] == ["begin", "gate", "gather"]


async def test_after_a_failed_strong_round_the_cheap_drafts_are_used() -> None:
    combine = {"name": "escalate", "strong": [fake("s", RuntimeError("down"))]}
    result, _, _ = await run(create_moa(**cheap("red", "green"), combine=combine))
    assert result["messages"][-1].content == WRITER and result["record"]["degraded"]


async def test_sees_deals_every_draft_to_someone() -> None:
    proposers = [fake(f"p{n}", f"draft of {n}") for n in range(6)]
    writer = fake("w", WRITER)
    await run(create_moa(proposers=proposers, aggregator=writer, layers=3, sees=2))
    shown = [set(drafts_in(p.seen[1]).values()) for p in proposers]
    assert all(len(each) == 2 for each in shown)
    assert set().union(*shown) == {f"draft of {n}" for n in range(6)}
    assert len(drafts_in(writer.seen[0])) == 6


async def test_a_round_may_have_its_own_sees() -> None:
    second = [fake(f"s{n}", f"second {n}") for n in range(2)]
    rounds = [three(), {"proposers": second, "sees": 2}]
    await run(create_moa(rounds=rounds, aggregator=fake("w", WRITER)))
    assert [len(drafts_in(p.seen[0])) for p in second] == [2, 2]
    with pytest.raises(ConfigError, match="cannot see all 3 drafts"):
        Mixture(rounds=[three(), {"proposers": second, "sees": 1}], aggregator=fake("w", WRITER))


async def test_critique_revises_only_what_a_review_raises() -> None:
    def author(text: str) -> Fake:
        return fake(text, lambda prompt: f"{text} revised" if "wrong: no" in prompt else text)

    def review(prompt: str) -> str:
        bad = "red" in drafts_in(prompt).values()
        return json.dumps({"problems": [{"kind": "wrong", "what": "no"}] if bad else []})

    writer = fake("w", WRITER)
    mixture = Mixture(
        proposers=[author("red"), author("green")],
        aggregator=writer,
        combine={"name": "critique", "reviewers": [fake("r", review)]},
    )
    result, steps, _ = await run(create_moa(mixture))
    assert {"reviewer-0", "reviewer-1"} <= set(steps)
    assert [(d["layer"], d["slot"], d["text"]) for d in result["drafts"]] == [
        (1, 0, "red"),
        (1, 1, "green"),
        (2, 0, "red revised"),
    ]
    assert list(drafts_in(writer.seen[0]).values()) == ["red revised", "green"]
    assert (mixture.calls(least=True), result["record"]["calls"], mixture.calls()) == (5, 6, 7)
    assert not result["record"]["degraded"]


async def test_critique_of_one_writer_takes_three_calls() -> None:
    author = fake("w1", lambda prompt: "better" if "missing: why" in prompt else "draft")
    reviewer = fake("r", '{"problems": [{"kind": "missing", "what": "why"}]}')
    mixture = Mixture(
        proposers=[author], aggregator=fake("w", WRITER), combine={"name": "critique", "reviewers": [reviewer]}
    )
    result, _, _ = await run(create_moa(mixture))
    assert result["messages"][-1].content == "better" and result["record"]["calls"] == mixture.calls() == 3


OWN: dict[str, Any] = {
    "synthesize": "synthesize",
    "analyze": {"name": "analyze", "analyst": fake("x", RuntimeError("down"))},
    "select": {"name": "select", "judge": fake("x", RuntimeError("down"))},
    "vote": {"name": "vote", "answer": {"read": "json", "field": "answer"}},
    "verify": {"name": "verify", "check": lambda messages, text: False},
    "escalate": {"name": "escalate", "strong": [fake("x", RuntimeError("down"))]},
    "critique": {"name": "critique", "reviewers": [fake("x", RuntimeError("down"))]},
}


@pytest.mark.parametrize("name", NAMES)
async def test_when_its_own_calls_fail_it_answers_as_synthesize(name: str) -> None:
    plain, writer = fake("w", WRITER), fake("w", WRITER)
    await run(create_moa(proposers=three(), aggregator=plain))
    result, _, _ = await run(create_moa(proposers=three(), aggregator=writer, combine=OWN[name]))
    assert result["messages"][-1].content == WRITER
    assert codes_out(writer.seen[-1]) == codes_out(plain.seen[-1])
    assert result["record"]["degraded"] == (name != "synthesize")


async def test_a_run_may_choose_among_the_mixtures_combiners() -> None:
    graph = create_moa(proposers=three("a", "b", "b"), aggregator=fake("w", WRITER), combiners=["vote"])
    assert (await run(graph))[0]["messages"][-1].content == WRITER
    result, _, _ = await run(graph, combine="vote")
    assert result["messages"][-1].content == "b" and result["record"]["combine"] == "vote"
    with pytest.raises(ConfigError, match=r"context\.combine: 'select' is not one of .*synthesize, vote"):
        await run(graph, combine="select")


@pytest.mark.parametrize(
    ("combine", "words"),
    [
        ("average", 'combiner\'s name.*got "average".*synthesize'),
        ({"keep": 2}, "mapping with `name`"),
        ({"name": "select", "kep": 2}, "Did you mean 'keep'"),
        ({"name": "select", "keep": 4}, "4 drafts to keep, but the last round has 3"),
        ({"name": "vote", "weights": [1, 2]}, "2 weights for 3 slots"),
        ({"name": "vote", "answer": "json"}, "`read: json` and `field` go together"),
        ({"name": "vote", "answer": {"read": "regex", "pattern": "("}}, "not a regular expression"),
        ({"name": "escalate", "strong": []}, "strong"),
        ({"name": "verify", "check": {"command": []}}, "command"),
        ({"name": "verify", "check": {"json_schema": {"type": "thing"}}}, "not a JSON schema"),
    ],
)
def test_a_wrong_combiner_is_refused_before_any_request(combine: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        create_moa(proposers=three(), aggregator=fake("w", WRITER), combine=combine)


@pytest.mark.parametrize("name", NAMES)
def test_a_combiner_changes_the_hash(name: str) -> None:
    plain = Mixture(proposers=["openai:a", "openai:b"], aggregator="openai:c")
    combine = {"escalate": {"name": "escalate", "strong": ["openai:s"]},
               "verify": {"name": "verify", "check": {"command": ["true"]}}}.get(name, name)  # fmt: skip
    other = plain.changed(combine=combine)
    assert (other.hash == plain.hash) == (name == "synthesize")
    assert create_moa(other).get_graph().nodes


def test_a_file_may_name_a_program_only_when_it_is_trusted(tmp_path: Any) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        'proposers: ["openai:a"]\naggregator: "openai:b"\ncombine: {name: verify, check: {command: ["true"]}}\n'
    )
    with pytest.raises(ConfigError, match=r"mine\.yaml wants to run the program 'true'.*trust=True"):
        Mixture.load(file)
    assert Mixture.load(file, trust=True).combine.name == "verify"


SPENT: dict[str, Any] = {
    "select": {"name": "select"},
    "peers": {"name": "select", "by": "peers"},
    "vote": {"name": "vote", "answer": {"read": "json", "field": "answer"}},
    "verify": {"name": "verify", "check": lambda messages, text: False},
    "analyze": {"name": "analyze", "answer": "none"},
    "escalate": {"name": "escalate", "strong": [fake("s", RuntimeError("down"))]},
}


@pytest.mark.parametrize("name", SPENT)
async def test_a_cap_that_fits_the_planned_calls_is_no_error_when_the_combiner_falls_back(name: str) -> None:
    """The calls that were planned are made; none is left for `synthesize`, so the medoid is the answer."""
    writer = fake("w", lambda prompt: RuntimeError("down") if "JSON object" in prompt else WRITER)
    mixture = Mixture(proposers=three(), aggregator=writer, combine=SPENT[name], max_attempts=1)
    planned = mixture.calls(least=name in ("verify", "escalate"))
    result, _, _ = await run(create_moa(mixture.changed(max_calls=planned)))
    record = result["record"]
    assert result["messages"][-1].content in ("red", "green", "blue") and record["status"] == "best_draft"
    assert record["calls"] == planned and any(
        f"max_calls is {planned}" in reason for reason in record["degraded_reasons"]
    )


@pytest.mark.parametrize(
    ("verdict", "reply"),
    [
        ("scores", '{"scores": {"1": "2", "2": "9/10", "3": "1.5"}}'),
        ("scores", '{"scores": {"Draft 1": 2, "Draft 2": 9, "Draft 3": 1}}'),
        ("scores", '{"1": 2, "2": 9, "3": 1}'),
        ("scores", '{"scores": {"1": {"score": 2, "why": "no"}, "2": {"score": 9}, "3": {"score": 0}}}'),
        ("scores", '{"scores": [{"draft": 2, "score": 9}, {"draft": 1, "score": 3}, {"draft": 3, "score": 1}]}'),
        ("scores", '{"scores": [{"id": "Draft 2", "score": 9}, {"id": "1", "score": 3}, {"id": 3, "score": 1}]}'),
        ("ranking", '{"ranking": ["2", "1", "3"]}'),
        ("ranking", '{"ranking": ["Draft 2", "Draft 3", "Draft 1"]}'),
    ],
)
async def test_verdicts_in_other_forms_are_read(verdict: str, reply: str) -> None:
    judge = fake("judge", reply)
    combine = {"name": "select", "judge": judge, "verdict": verdict}
    result, _, _ = await run(create_moa(proposers=three(), aggregator=fake("w", WRITER), combine=combine))
    assert result["messages"][-1].content == drafts_in(judge.seen[0])["2"] and not result["record"]["degraded"]


@pytest.mark.parametrize(
    "reply",
    [
        '{"scores": {"1": 2, "2": 11, "3": 1}}',
        '{"ranking": [1, 1, 2]}',
        '{"1": 2, "2": 9}',
        '{"scores": [{"draft": 2, "score": 9}, {"draft": 2, "score": 3}, {"draft": 3, "score": 1}]}',
        '{"scores": [{"draft": 2, "score": 9}, {"score": 3}, {"draft": 3, "score": 1}]}',
    ],
)
async def test_verdicts_that_do_not_fit_are_not_read(reply: str) -> None:
    combine = {
        "name": "select",
        "judge": fake("judge", reply),
        "verdict": "ranking" if "ranking" in reply else "scores",
    }
    result, _, _ = await run(create_moa(proposers=three(), aggregator=fake("w", WRITER), combine=combine))
    assert result["messages"][-1].content == WRITER and result["record"]["degraded"]


@pytest.mark.parametrize(
    ("problems", "words"),
    [
        (["the date is wrong"], "- wrong: the date is wrong"),
        ([{"kind": "missing", "problem": "the date"}], "- missing: the date"),
        ([{"kind": ["wrong"], "description": "the date", "text": "?"}, 5, {"what": " "}], "- wrong: the date"),
        ([{"kind": "wrong", "what": ""}], None),
    ],
)
async def test_problems_in_other_forms_are_read(problems: Any, words: str | None) -> None:
    author = fake("a", lambda prompt: "revised" if "what a reviewer found" in prompt else "draft")
    combine = {"name": "critique", "reviewers": [fake("r", json.dumps({"problems": problems}))]}
    result, _, _ = await run(create_moa(proposers=[author], aggregator=fake("w", WRITER), combine=combine))
    assert result["messages"][-1].content == ("revised" if words else "draft") and not result["record"]["degraded"]
    assert words is None or words in author.seen[1]


@pytest.mark.parametrize("problems", [[{"wrong": "the date"}], [5]])
async def test_a_review_of_which_nothing_can_be_read_is_not_an_empty_one(problems: Any) -> None:
    combine = {"name": "critique", "reviewers": [fake("r", json.dumps({"problems": problems}))]}
    result, _, _ = await run(create_moa(proposers=three(), aggregator=fake("w", WRITER), combine=combine))
    assert "reviewer-0: the reply could not be read" in result["record"]["degraded_reasons"]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ('{"answer": true}', "yes"),
        ('{"answer": "No."}', "no"),
        ("Yes, they do.", "yes"),
        ("**No** - the figures differ.", "no"),
        ("No idea", None),
        ("Nobody knows", None),
    ],
)
async def test_a_word_with_a_reason_is_an_answer(reply: str, said: str | None) -> None:
    combine = {"name": "escalate", "strong": [fake("s", "S")], "agree": "model", "comparator": fake("c", reply)}
    result, _, _ = await run(create_moa(proposers=three(), aggregator=fake("w", WRITER), combine=combine))
    assert result["record"]["decision"]["escalated"] == (said != "yes")
    assert result["record"]["degraded"] == (said is None)


async def test_an_analysis_names_drafts_by_words_and_an_empty_one_is_none() -> None:
    for said, known in (
        ({"unique_insights": [{"model": "Draft 2", "insight": "green"}]}, True),
        ({"consensus": [], "blind_spots": []}, False),
        ({"consensus": [{"no": "text"}], "unique_insights": [{"model": 9, "insight": "?"}]}, False),
    ):
        combine = {"name": "analyze", "analyst": fake("analyst", json.dumps(said))}
        result, _, _ = await run(create_moa(proposers=three(), aggregator=fake("w", WRITER), combine=combine))
        record = result["record"]
        assert (record["decision"]["analysis"] is not None) == known == (not record["degraded"])
        if known:
            insight = record["decision"]["analysis"]["unique_insights"][0]
            assert insight == {"model": result["drafts"][1]["proposer"], "insight": "green"}


@pytest.mark.parametrize("kind", ["async", "sync", "command"])
async def test_a_check_that_hangs_leaves_time_for_the_answer(kind: str) -> None:
    """Without a limit of its own, a check gets half of the run's time; the other half is the writer's."""
    ended = threading.Event()

    async def hangs(messages: Any, text: str) -> bool:
        await asyncio.Event().wait()
        return True

    check = {"async": hangs, "sync": lambda messages, text: ended.wait(60), "command": {"command": ["sleep", "60"]}}[
        kind
    ]
    mixture = Mixture(
        proposers=three(), aggregator=fake("w", WRITER), combine={"name": "verify", "check": check}, run_deadline=1.5
    )
    try:
        result, _, _ = await asyncio.wait_for(run(create_moa(mixture)), 30)
    finally:
        ended.set()
    assert result["messages"][-1].content == WRITER
    assert any("the check did not end within" in reason for reason in result["record"]["degraded_reasons"])


async def test_a_check_that_is_cancelled_twice_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of a draft and of the run may be over at once; the second must not interrupt its end."""
    started: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def recorded(*args: Any, **options: Any) -> asyncio.subprocess.Process:
        started.append(await start(*args, **options))
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", recorded)
    check = asyncio.create_task(run_check(CommandCheck(command=["sleep", "60"]), [], "a draft"))
    while not started:
        await asyncio.sleep(0.01)
    for _ in range(3):
        check.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await check
    assert started[0].returncode is not None


def test_a_check_of_another_signature_is_refused_before_any_call() -> None:
    """It would fail on every draft, and the answer would never be a checked one."""
    for check in (lambda text: True, lambda messages, text, more: True, len):
        with pytest.raises(ConfigError, match=r"check: it must take \(messages, text\); \(.*\) does not"):
            Mixture(proposers=three(), aggregator=fake("w", WRITER), combine={"name": "verify", "check": check})
    for check in (lambda messages, text, seen=None: True, lambda *both: True):
        Mixture(proposers=three(), aggregator=fake("w", WRITER), combine={"name": "verify", "check": check})


def test_a_function_as_combiner_and_a_class_as_model_are_told_the_way_out() -> None:
    with pytest.raises(ConfigError, match="A rule of your own is the `check` of verify"):
        create_moa(proposers=three(), aggregator=fake("w", WRITER), combine=lambda drafts: drafts[0])
    with pytest.raises(ConfigError, match="got the class Fake: give an object of it"):
        create_moa(proposers=[Fake], aggregator=fake("w", WRITER))
