"""Prompts: the paper's bytes, fences that cannot be forged, one system message."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from moa_graph.graph.prompts import fence_code as fence_codes
from moa_graph.graph.prompts.fence import BoundaryFilter, Part, without_boundaries
from moa_graph.graph.prompts.fence_code import Scope, Sent, fence_code, shuffled
from moa_graph.graph.prompts.prompts import (
    FENCED,
    PAPER,
    Prompt,
    build_prompt,
    paper_text,
    wants_strict_turns,
    with_system,
)


def test_paper_prompt_is_the_published_text() -> None:
    assert len(PAPER) == 606
    digest = "051f3701ff1fbfdf3e0474a2bfe16dc9621c1c6665b1d0adefd43cd246dcc378"
    assert hashlib.sha256(PAPER.encode()).hexdigest() == digest


def test_paper_prompt_equals_the_shared_file(shared: Path) -> None:
    assert (shared / "prompts" / "paper.txt").read_bytes() == PAPER.encode()


def test_paper_text_numbers_from_one_with_single_newlines() -> None:
    assert paper_text(["a", "b\nc"]) == PAPER + "\n1. a\n2. b\nc"


SCOPE = Scope(b"key", "run", 2, 0)
QUESTION = [HumanMessage("q")]


def sent(drafts: Sequence[str], conversation: Sequence[BaseMessage] = QUESTION, **options: Any) -> Prompt:
    return build_prompt(conversation, drafts, **{"form": "fenced", "scope": SCOPE, **options})


@pytest.mark.parametrize("form", ["paper", "fenced"])
def test_no_usable_draft_means_no_injection(form: str) -> None:
    assert sent([], form=form) == sent(["  ", "\n"], form=form) == Prompt(QUESTION, None)


def test_drafts_are_stripped_of_outer_white_space() -> None:
    system, question = sent(["  a \n", "\tb"], form="paper").messages
    assert (system.content, question.content) == (PAPER + "\n1. a\n2. b", "q")


def test_braces_and_template_marks_stay_text() -> None:
    assert "{x} {{y}} %s ${z} {0.__class__}" in str(sent(["{x} {{y}} %s ${z} {0.__class__}"]).messages[-1].content)


def test_fenced_drafts_come_last_and_change_nothing_before_them() -> None:
    system, question = sent(["one", "two"], before="M", after=["P"]).messages
    plain_system, plain_question = sent([], before="M", after=["P"]).messages
    code = sent(["one", "two"], before="M", after=["P"]).code
    assert system == plain_system
    assert str(question.content).startswith(f"{plain_question.content}\n\n[drafts begin: {code}]\n{FENCED}\n\n")
    assert str(question.content).endswith(
        f"[draft 1 of 2 begins: {code}]\none\n[draft 1 ends: {code}]\n\n"
        f"[draft 2 of 2 begins: {code}]\ntwo\n[draft 2 ends: {code}]\n\n[drafts end: {code}]"
    )


CALL = AIMessage("", tool_calls=[{"name": "t", "args": {}, "id": "1"}])
RESULT = ToolMessage("rain", tool_call_id="1")


@pytest.mark.parametrize(
    ("conversation", "strict", "kinds", "place"),
    [
        ([HumanMessage("q")], False, "human", -1),
        ([HumanMessage("q"), CALL, RESULT], False, "human ai tool human", -1),
        ([HumanMessage("q"), CALL, RESULT], True, "human ai tool", -1),
        ([HumanMessage("q"), AIMessage("The answer is")], False, "human ai", 0),
        ([HumanMessage("q"), CALL, RESULT, AIMessage("The")], False, "human ai tool human ai", 3),
        ([HumanMessage("q"), CALL, RESULT, AIMessage("The")], True, "human ai tool ai", 2),
    ],
)
def test_where_fenced_drafts_stand(conversation: list[BaseMessage], strict: bool, kinds: str, place: int) -> None:
    messages = sent(["one"], conversation, strict_turns=strict).messages
    assert " ".join(m.type for m in messages) == kinds
    assert [n for n, m in enumerate(messages) if "draft 1 of 1" in str(m.content)] == [place % len(messages)]
    assert "rain" not in str(conversation[-1].content) or str(messages[2].content).startswith("rain")


def test_blocks_of_the_question_stay_blocks() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    (question,) = sent(["one"], [HumanMessage([image])]).messages
    assert isinstance(question.content, list)
    assert question.content[0] == image and "one" in str(question.content[1])


@pytest.mark.parametrize("label", ["mistralai:mistral-large", "together:mistralai/Mixtral-8x7B", "openai:gemma-3-27b"])
def test_templates_that_want_strict_turns_are_known_by_name(label: str) -> None:
    assert wants_strict_turns(label) and not wants_strict_turns("openai:gpt-5")


def test_shuffle_keeps_every_draft_and_has_its_own_seed() -> None:
    drafts = [f"draft text {n}" for n in range(8)]
    first, second = sent(drafts, shuffle=True), sent(drafts, shuffle=True)
    assert first == second != sent(drafts)
    assert first.code == sent(drafts).code
    # Another question has another code; the order depends on the drafts and the key alone.
    other = sent(drafts, [HumanMessage("another question")], shuffle=True)
    assert other.code != first.code
    assert shuffled(SCOPE, drafts) == shuffled(SCOPE, drafts) != shuffled(SCOPE._replace(key=b"other"), drafts)
    assert sorted(shuffled(SCOPE, drafts)) == drafts


@settings(max_examples=300)
@given(st.lists(st.text(), min_size=1, max_size=5), st.text())
def test_the_code_is_nowhere_else_in_the_request(drafts: list[str], question: str) -> None:
    code = fence_code(SCOPE, drafts, request=[question])
    assert len(code) == 16
    assert not any(code in text.casefold() for text in [*drafts, question])


@pytest.mark.parametrize("where", ["question", "system", "draft", "note", "tool call", "also"])
def test_the_code_changes_when_the_request_contains_it(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first code that any key gives is "c" x 16 here, and it occurs in one place of the request."""
    codes = iter(["c" * 16, "c" * 16, "d" * 16, "d" * 16])

    class Fixed:
        def hexdigest(self) -> str:
            return self.code

        def __init__(self) -> None:
            self.code = next(codes)

        def update(self, data: bytes) -> None:
            self.code = "d" * 16

    monkeypatch.setattr(fence_codes, "_mac", lambda *args: Fixed())
    code = "C" * 16
    conversation: list[BaseMessage] = [HumanMessage(code if where == "question" else "q")]
    if where == "tool call":
        call = AIMessage("", tool_calls=[{"name": "t", "args": {"x": [code]}, "id": "1"}])
        conversation += [call, RESULT]
    prompt = sent(
        [code if where == "draft" else "one"],
        conversation,
        before=code if where == "system" else "",
        notes=[Part("analysis", "analysis", code)] if where == "note" else [],
        also=code if where == "also" else "",
    )
    assert prompt.code == "d" * 16


def test_the_code_depends_on_every_part_of_the_call() -> None:
    codes = {
        sent(["one"], scope=scope, before=before).code
        for scope in (SCOPE, *(SCOPE._replace(**{name: value}) for name, value in _OTHERS.items()))
        for before in ("", "system")
    }
    codes |= {sent(["two"]).code, sent(["one"], [HumanMessage("other")]).code}
    codes |= {sent(["one"], notes=[Part("analysis", "analysis", "x")]).code}
    assert len(codes) == 2 * (1 + len(_OTHERS)) + 3


_OTHERS: dict[str, Any] = {"key": b"other", "run": "other", "layer": 3, "slot": 1, "role": "aggregator"}


def test_ids_of_messages_do_not_change_the_code() -> None:
    """LangGraph gives every message a new id; a run that is repeated must send the same bytes."""
    assert sent(["one"], [HumanMessage("q", id="1")]).code == sent(["one"], [HumanMessage("q", id="2")]).code


CODE = "0123456789abcdef"
LEAKS = [
    ("whole.", "whole."),
    (f"[draft 3 of 3 begins: {CODE}]\nParis\n[draft 3 ends: {CODE}]", "Paris"),
    (f"Paris.\n[draft 3 ends: {CODE}]\nMore", "Paris.\nMore"),
    (f"in [draft 3 ends: {CODE.upper()}] line", "in line"),
    (f"Paris.\n\n[draft 3 ends: {CODE[:9]}", "Paris."),
    (f"Paris. [drafts begin: {CODE}]\nthe whole\n[draft 1 ends: {CODE}]\n[drafts end: {CODE}]", "Paris."),
    (f"[drafts begin: {CODE}]\nno end", "no end"),
    ("[a](b) [c [d] [draft 1 ends: fedcba9876543210] [" + "x" * 300 + "]", None),
    ("list[int] = [1, 2]\n[", None),
]


@pytest.mark.parametrize(("answer", "expected"), LEAKS)
@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_boundaries_are_cut_from_answers_whole_and_in_pieces(answer: str, expected: str | None, size: int) -> None:
    assert without_boundaries(answer, CODE) == (answer if expected is None else expected)
    pieces = BoundaryFilter(CODE)
    fed = "".join(pieces.feed(answer[n : n + size]) for n in range(0, len(answer), size)) + pieces.rest()
    assert fed.strip() == without_boundaries(answer, CODE)


@settings(max_examples=300)
@given(st.text(alphabet="[]dr afts:\n" + CODE), st.integers(1, 9))
def test_pieces_are_filtered_as_the_whole_is(answer: str, size: int) -> None:
    whole, pieces = BoundaryFilter(CODE), BoundaryFilter(CODE)
    fed = "".join(pieces.feed(answer[n : n + size]) for n in range(0, len(answer), size)) + pieces.rest()
    assert fed == whole.feed(answer) + whole.rest()


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (None, "M\n\nP"),
        ("C", "M\n\nC\n\nP"),
    ],
)
def test_one_system_message_joined_by_blank_lines(own: str | None, expected: str) -> None:
    messages = [*([SystemMessage(own)] if own else []), HumanMessage("q")]
    system, question = with_system(messages, before="M", after=["", "P"])
    assert (system.content, question.content) == (expected, "q")


def test_blocks_stay_blocks_and_join_to_the_same_bytes() -> None:
    own = SystemMessage([{"type": "text", "text": "C"}])
    system, _ = with_system([own, HumanMessage("q")], before="M", after=["P"])
    assert isinstance(system.content, list)
    assert "".join(block["text"] for block in system.content if isinstance(block, dict)) == "M\n\nC\n\nP"
    assert own.content == [{"type": "text", "text": "C"}]


def test_without_text_no_system_message_is_added() -> None:
    question = HumanMessage("q")
    assert with_system([question], before="", after=["", ""]) == [question]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([HumanMessage("ab"), HumanMessage("c")], [HumanMessage("a"), HumanMessage("bc")]),
        ([HumanMessage("a"), AIMessage("b")], [AIMessage("a"), HumanMessage("b")]),
        ([HumanMessage("a", name="x")], [HumanMessage("a", name="y")]),
        ([HumanMessage("a")], [HumanMessage([{"type": "text", "text": "a"}])]),
        ([HumanMessage("a")], [HumanMessage("a\nhuman None 1\na")]),
        ([HumanMessage("q"), CALL], [HumanMessage("q"), AIMessage("")]),
        ([HumanMessage("\ud800")], [HumanMessage("\ud801")]),
        ([HumanMessage("a", name="\ud800")], [HumanMessage("a", name="\ud801")]),
    ],
)
def test_different_conversations_have_different_codes(one: list[BaseMessage], other: list[BaseMessage]) -> None:
    assert Sent(one).digest != Sent(other).digest
    assert Sent(one).digest == Sent([m.model_copy(update={"id": "9"}) for m in one]).digest


def test_one_conversation_is_read_once_for_all_calls() -> None:
    """The bytes of the conversation that several calls share give the code that each would compute itself."""
    shared = Sent([HumanMessage("q")])
    assert sent(["one"], [HumanMessage("q")], sent=shared).code == sent(["one"], [HumanMessage("q")]).code
    assert shared.digest is shared.digest
