"""What each combiner adds to the critical path of its own calls: models in this process that take 50 ms each."""

import asyncio
import json
import re
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from benchmarks.report import Row, row
from moa_graph import create_moa

SECONDS = 0.05
MOST_MS = 10.0
QUESTIONS = 9
Reply = Callable[[str], str]


class Timed(BaseChatModel):
    """Answers after 50 ms with a text that depends on the prompt, and notes when it began and ended."""

    model: str
    reply: Any = Field(exclude=True)
    times: Any = Field(exclude=True)

    @property
    def _llm_type(self) -> str:
        return "timed"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError("the graph calls models asynchronously")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        began = time.perf_counter()
        await asyncio.sleep(SECONDS)
        self.times.append((began, time.perf_counter()))
        text = self.reply("\n".join(str(message.content) for message in messages))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


def _scores(prompt: str) -> str:
    """Scores for every draft in the prompt; the first is the best."""
    count = len(re.findall(r"\[draft \d+ of \d+ begins", prompt))
    return json.dumps({"scores": {str(n): 10 - n for n in range(1, count + 1)}})


def _analysis(prompt: str) -> str:
    return json.dumps(
        {"consensus": ["a"], "contradictions": [], "partial_coverage": [], "unique_insights": [], "blind_spots": []}
    )


def _review(prompt: str) -> str:
    return json.dumps({"problems": [{"kind": "missing", "what": "why"}]})


def _combiners(model: Callable[[str, Reply], Timed]) -> Mapping[str, Any]:
    return {
        "synthesize": "synthesize",
        "analyze": {"name": "analyze", "analyst": model("analyst", _analysis)},
        "select": {"name": "select", "judge": model("judge", _scores)},
        "vote": "vote",
        "verify": {"name": "verify", "check": lambda messages, text: text.endswith("2")},
        "escalate": {"name": "escalate", "strong": [model("strong", lambda _: "#### 9")]},
        "critique": {"name": "critique", "reviewers": [model("reviewer", _review)]},
    }


async def combiners(base: str) -> list[Row]:
    """Milliseconds of a question in which no model is at work, for each combiner."""
    times: list[tuple[float, float]] = []

    def model(name: str, reply: Reply) -> Timed:
        return Timed(model=name, reply=reply, times=times)

    rows = []
    for name, combine in _combiners(model).items():
        drafts = [model(f"p{n}", lambda _, n=n: f"#### {n}") for n in range(4)]  # type: ignore[misc]  # a bound default
        graph = create_moa(proposers=drafts, aggregator=model("writer", lambda _: "the answer"), combine=combine)
        idle, calls = [], 0
        for number in range(QUESTIONS + 1):
            times.clear()
            began = time.perf_counter()
            out = await graph.ainvoke({"messages": f"question {number}"})
            idle.append((time.perf_counter() - began - _busy(times)) * 1e3)
            calls = len(times)
            assert out["messages"][-1].content
        # The first question compiles and imports.
        spread = statistics.quantiles(idle[1:], n=10, method="inclusive")
        title = f"combiner {name}, {calls} calls: time without a model at work"
        rows.append(row(f"combiner_{name}", title, [spread[0], statistics.median(idle[1:]), spread[-1]], "ms", MOST_MS))
    return rows


def _busy(times: list[tuple[float, float]]) -> float:
    """Seconds in which at least one call ran."""
    busy, until = 0.0, 0.0
    for began, ended in sorted(times):
        busy += max(ended - max(began, until), 0.0)
        until = max(until, ended)
    return busy
