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


TWINS: Mapping[str, Mapping[str, Any]] = {
    "select": {},
    "escalate": {},
    "analyze": {"more": 1},
    "critique": {"layers": 4},
}
"""What makes `synthesize` take as many calls and steps: more layers, or a second round of one proposer."""


async def combiners(base: str) -> list[Row]:
    """Return the milliseconds of a question in which no model is at work, and how many of them `synthesize` has not."""
    times: list[tuple[float, float]] = []

    def model(name: str, reply: Reply) -> Timed:
        return Timed(model=name, reply=reply, times=times)

    def made(combine: Any, *, more: int = 0, **options: Any) -> Any:
        drafts = [model(f"p{n}", lambda _, n=n: f"#### {n}") for n in range(4)]  # type: ignore[misc]  # a bound default
        shape = {"rounds": [drafts, drafts[:more]]} if more else {"proposers": drafts}
        return create_moa(**shape, aggregator=model("writer", lambda _: "the answer"), combine=combine, **options)

    rows = []
    for name, combine in _combiners(model).items():
        own, twin = made(combine), made("synthesize", **TWINS[name]) if name in TWINS else None
        idle, beyond, calls = [], [], 0
        for number in range(QUESTIONS + 1):
            idle.append(await _idle(own, number, times))
            calls = len(times)
            if twin:
                beyond.append(idle[-1] - await _idle(twin, number, times))
                assert len(times) == calls
        # The first question compiles and imports.
        title = f"combiner {name}, {calls} calls: time without a model at work"
        rows.append(row(f"combiner_{name}", title, _spread(idle[1:]), "ms", MOST_MS))
        if beyond:
            title = "  beyond synthesize with as many calls and steps"
            rows.append(row(f"combiner_{name}_beyond", title, _spread(beyond[1:]), "ms"))
    return rows


async def _idle(graph: Any, number: int, times: list[tuple[float, float]]) -> float:
    """Return the milliseconds of one question in which no model is at work."""
    times.clear()
    began = time.perf_counter()
    out = await graph.ainvoke({"messages": f"question {number}"})
    assert out["messages"][-1].content
    return (time.perf_counter() - began - _busy(times)) * 1e3


def _spread(values: list[float]) -> list[float]:
    """Return the first decile, the median and the last decile."""
    deciles = statistics.quantiles(values, n=10, method="inclusive")
    return [deciles[0], statistics.median(values), deciles[-1]]


def _busy(times: list[tuple[float, float]]) -> float:
    """Seconds in which at least one call ran."""
    busy, until = 0.0, 0.0
    for began, ended in sorted(times):
        busy += max(ended - max(began, until), 0.0)
        until = max(until, ended)
    return busy
