"""Recorded drafts, verdicts and answers as in-process chat models: the real graph runs on them without a network."""

import gzip
import json
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

ASSETS = Path(os.environ.get("MOA_ASSETS", Path(__file__).parents[2] / ".." / "shared" / "assets"))
needs_assets = pytest.mark.skipif(not (ASSETS / "recorded_drafts").is_dir(), reason="needs the recorded drafts")

_PART = re.compile(r"\[draft (\d+) of \d+ begins: ([0-9a-f]{16})\]\n(.*?)\n\[draft \1 ends: \2\]", re.S)

Reply = Callable[[list[BaseMessage]], str]


class Recorded(BaseChatModel):
    """Replies with the result of its function. Counts its calls, and the active ones."""

    model: str
    reply: Any = Field(exclude=True)
    calls: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "recorded"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise AssertionError("only the async side is called")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.calls.append(question_of(messages))
        text = self.reply(messages)
        sent, got = sum(len(str(m.content)) // 4 for m in messages), len(text) // 4
        usage: Any = {"input_tokens": sent, "output_tokens": got, "total_tokens": sent + got}
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text, usage_metadata=usage))])


def recorded(name: str, reply: Reply) -> Recorded:
    return Recorded(model=name, reply=reply, calls=[])


def question_of(messages: list[BaseMessage]) -> str:
    """The question's id: the first line of the first user message."""
    first = next(m for m in messages if m.type == "human")
    return str(first.content).split("\n", 1)[0]


def fenced_drafts(messages: list[BaseMessage]) -> list[str]:
    """The drafts in a prompt, in the order of their numbers."""
    return [found[3] for found in _PART.finditer(str(messages[-1].content))]


@cache
def drafts_of(name: str) -> list[dict[str, Any]]:
    """The rows of `recorded_drafts`: gsm8k or math."""
    with gzip.open(ASSETS / "recorded_drafts" / f"{name}400.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [{**row, "id": f"question {row['id']}"} for row in rows]


@cache
def answers_of(bench: str, model: str) -> list[dict[str, Any]]:
    """The rows of `recorded_answers` of one model, answers that are missing left out."""
    with gzip.open(ASSETS / "recorded_answers" / bench / f"{model}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        {
            **row,
            "id": f"question {row['id']}",
            "answers": [a for a in row["answers"] if isinstance(a, str) and a.strip()],
        }
        for row in rows
    ]


def models_of(bench: str) -> list[str]:
    return sorted(p.name.removesuffix(".jsonl.gz") for p in (ASSETS / "recorded_answers" / bench).glob("*.gz"))


def proposers_of(rows: list[dict[str, Any]]) -> list[Recorded]:
    """One model for each draft of a row."""
    by_id = {row["id"]: row for row in rows}

    def reply(slot: int) -> Reply:
        return lambda messages: by_id[question_of(messages)]["drafts"][slot]["text"]

    return [recorded(draft["model"], reply(slot)) for slot, draft in enumerate(rows[0]["drafts"])]


def judging(rows: list[dict[str, Any]], scores: str, judge: str) -> Reply:
    """Return a judge that gives the recorded scores for any order of the drafts."""
    by_id = {row["id"]: row for row in rows}

    def reply(messages: list[BaseMessage]) -> str:
        row = by_id[question_of(messages)]
        left = {slot: same_text(draft["text"]) for slot, draft in enumerate(row["drafts"])}
        given: dict[str, float] = {}
        for number, text in enumerate(fenced_drafts(messages), start=1):
            slot = next(slot for slot, each in left.items() if each == same_text(text))
            del left[slot]
            given[str(number)] = row[scores][judge][slot]
        return f"Here is my verdict: {json.dumps({'scores': given})}"

    return reply


def same_text(text: str) -> str:
    """Return the characters of a draft that cleaning does not change."""
    return re.sub(r"\s+", "", text)
