"""Marks for prompt caches: at the end of what requests repeat, and only for the hosts that document them."""

import json
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from moa_graph import Proposer, create_moa
from moa_graph.models.cache_marks import cache_key, marked, wants_marks

CLAUDE, GPT = Proposer("anthropic:claude-x"), Proposer("openai:gpt-x")
OPENING = "[drafts begin: 0123456789abcdef]"
BLOCK = f"{OPENING}\ninstruction"
MARK = {"type": "ephemeral"}


def texts(messages: list[BaseMessage]) -> list[str]:
    return [
        m.content if isinstance(m.content, str) else "".join(b if isinstance(b, str) else b["text"] for b in m.content)
        for m in messages
    ]


def marks(messages: list[BaseMessage]) -> list[str]:
    """The texts of the blocks that end a cached part."""
    return [b["text"] for m in messages if isinstance(m.content, list) for b in m.content
            if isinstance(b, dict) and "cache_control" in b]  # fmt: skip


CALL: Any = [{"name": "f", "args": {}, "id": "1"}]
CASES: dict[str, tuple[list[BaseMessage], str | None, list[str]]] = {
    "no drafts": ([SystemMessage("s"), HumanMessage("question")], None, ["question"]),
    "drafts after the question": ([HumanMessage(f"question\n\n{BLOCK}")], OPENING, ["question"]),
    "drafts after blocks": (
        [HumanMessage([{"type": "text", "text": "one"}, {"type": "text", "text": f"\n\n{BLOCK}"}])], OPENING, ["one"],
    ),
    "drafts alone after a tool result": (
        [HumanMessage("q"), AIMessage("", tool_calls=CALL), ToolMessage("result", tool_call_id="1"),
         HumanMessage(BLOCK)], OPENING, ["result"],
    ),
    "drafts before an assistant's turn": ([HumanMessage(f"q\n\n{BLOCK}"), AIMessage("begun")], OPENING, ["q"]),
    "nothing but drafts": ([HumanMessage(BLOCK)], OPENING, []),
    "an own mark": ([HumanMessage([{"type": "text", "text": "q", "cache_control": MARK}])], None, ["q"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_mark_is_at_the_end_of_the_repeated_part(name: str) -> None:
    messages, tail, wanted = CASES[name]
    before = json.dumps([message.model_dump() for message in messages])
    found = marked(messages, tail=tail)
    assert marks(found) == wanted and texts(found) == texts(messages)
    assert json.dumps([message.model_dump() for message in messages]) == before


def test_only_anthropics_own_host_gets_marks() -> None:
    assert wants_marks(CLAUDE)
    elsewhere = Proposer("anthropic:claude-x", base_url="https://claude.example/v1")
    assert not any(map(wants_marks, (GPT, elsewhere, Proposer("local:m"))))


def test_the_key_is_that_of_the_conversations_beginning() -> None:
    one = [SystemMessage("s"), HumanMessage("a")]
    assert cache_key(GPT, one) == cache_key(GPT, list(one)) != cache_key(GPT, [SystemMessage("s"), HumanMessage("b")])
    assert len(cache_key(GPT, one)["prompt_cache_key"]) == 32
    assert cache_key(CLAUDE, one) == cache_key(Proposer("openai:m", base_url="https://other.example/v1"), one) == {}
    assert cache_key(Proposer("openai:gpt-x", params={"prompt_cache_key": "mine"}), one) == {}


class Claude(BaseChatModel):
    """A caller's own model at Anthropic's host. It keeps its requests."""

    model: str = "claude"
    anthropic_api_url: str = "https://api.anthropic.com"
    sent: list[list[BaseMessage]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "claude"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.sent.append(messages)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(f"reply {len(self.sent)}"))])


async def test_every_request_of_a_run_and_of_the_next_turn_marks_the_same_beginning() -> None:
    claude = Claude(sent=[])
    graph = create_moa(proposers=[claude], aggregator=claude, layers=3, system="Be exact.")
    first = await graph.ainvoke({"messages": "question"})
    assert [marks(sent) for sent in claude.sent] == [["question"]] * 3
    await graph.ainvoke({"messages": [*first["messages"], HumanMessage("more")]})
    assert [marks(sent) for sent in claude.sent[3:]] == [["more"]] * 3
    # The later turn begins with the bytes of the first, up to its mark.
    assert texts(claude.sent[3])[:2] == texts(claude.sent[0])
