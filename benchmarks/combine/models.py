"""Recorded drafts, verdicts and answers as in-process chat models: the real graph runs on them without a network."""

import asyncio
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from benchmarks.combine.sets import AnswerRow, DraftRow, DraftSet
from moa_graph.models.reply.reply import read

_PART = re.compile(r"\[draft (\d+) of \d+ begins: ([0-9a-f]{16})\]\n(.*?)\n\[draft \1 ends: \2\]", re.S)

Reply = Callable[[list[BaseMessage]], str | None]
"""Returns a reply; None never answers."""


class Recorded(BaseChatModel):
    """Replies as its function says. Counts its calls, and those that are in flight, by question."""

    model: str
    reply: Any = Field(exclude=True)
    calls: list[str] = Field(default_factory=list)
    in_flight: Counter[str] = Field(default_factory=Counter)

    @property
    def _llm_type(self) -> str:
        return "recorded"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise AssertionError("only the async side is called")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        question = question_of(messages)
        self.calls.append(question)
        self.in_flight[question] += 1
        try:
            text = self.reply(messages)
            if text is None:
                await asyncio.Event().wait()
        finally:
            self.in_flight[question] -= 1
        assert text is not None
        sent, got = sum(len(str(m.content)) // 4 for m in messages), len(text) // 4
        usage: Any = {"input_tokens": sent, "output_tokens": got, "total_tokens": sent + got}
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text, usage_metadata=usage))])


def recorded(name: str, reply: Reply) -> Recorded:
    return Recorded(model=name, reply=reply, calls=[], in_flight=Counter())


def question_of(messages: list[BaseMessage]) -> str:
    """The question's id: the first line of the first user message."""
    first = next(m for m in messages if m.type == "human")
    return str(first.content).split("\n", 1)[0]


def fenced_drafts(messages: list[BaseMessage]) -> list[str]:
    """The drafts in a prompt, in the order of their numbers."""
    return [found[3] for found in _PART.finditer(str(messages[-1].content))]


@cache
def same_text(text: str) -> str:
    """What neither the cleaning of replies nor the fence changes in a draft: all but white space."""
    return "".join(read(AIMessage(text)).text.split())


def proposers_of(drafts: DraftSet, *, judging: bool = False) -> list[Recorded]:
    """One model for each draft of a row; with `judging` it gives its recorded scores where it is shown drafts."""
    by_id = {row.id: row for row in drafts.rows}

    def model(slot: int, name: str) -> Recorded:
        def reply(messages: list[BaseMessage]) -> str:
            row = by_id[question_of(messages)]
            shown = fenced_drafts(messages) if judging else []
            return _verdict(row, name, shown) if shown else row.drafts[slot].text

        return recorded(name, reply)

    return [model(slot, name) for slot, name in enumerate(drafts.models)]


def _verdict(row: DraftRow, judge: str, shown: Sequence[str]) -> str:
    """Return the recorded scores of one judge, whatever order the drafts come in."""
    left = {slot: same_text(draft.text) for slot, draft in enumerate(row.drafts)}
    given: dict[str, float | None] = {}
    for number, text in enumerate(shown, start=1):
        slot = next((slot for slot, each in left.items() if each == same_text(text)), None)
        assert slot is not None, f"{row.id}: the prompt contains a text that is not a recorded draft"
        del left[slot]
        given[str(number)] = row.scores[judge][slot]
    return f"Here is my verdict: {json.dumps({'scores': given})}"


def sampler(rows: Sequence[AnswerRow], name: str) -> Recorded:
    """A model whose every call on a question gives the next recorded answer."""
    left = {row.id: itertools.cycle(row.answers) for row in rows if row.answers}
    return recorded(name, lambda messages: next(left[question_of(messages)]))
