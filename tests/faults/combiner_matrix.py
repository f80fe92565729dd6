"""Every fault at each of every combiner's own calls: no untyped error, and what `synthesize` answers in its place."""

import asyncio
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from moa_graph import MoAError, Proposer, create_moa
from moa_graph.models import rate_limit, registry
from tests.faults.matrix import DEADLINE, KINDS, MODES, PATIENT, RECOVERED, STARVED, _asked, _faulty, _spec
from tests.provider import ANSWERED, Provider

PLACES = ("analyst", "judge", "peer", "strong", "comparator", "gate", "reviewer", "repair", "revision")
AUTHORS = frozenset({"peer", "repair", "revision"})
"""Places where the proposers themselves are called again: they draft well, and fail afterwards."""

PROBLEM = "openai:say=%7B%22problems%22%3A%5B%7B%22kind%22%3A%22wrong%22%2C%22what%22%3A%22all%22%7D%5D%7D"


class Cell(NamedTuple):
    """A fault, whose call has it, and how the graph is run."""

    fault: str
    place: str
    mode: str


class Later(BaseChatModel):
    """Drafts once, and then answers as another model does."""

    model: str
    text: str
    _then: BaseChatModel = PrivateAttr()
    _drafted: list[bool] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "later"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise AssertionError("the async side is used")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        if self._drafted:
            return ChatResult(generations=[ChatGeneration(message=await self._then.ainvoke(messages))])
        self._drafted.append(True)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.text))])


def cells(kinds: tuple[str, ...] = KINDS) -> Iterator[Cell]:
    """Every fault in every place; the modes are taken in turn."""
    for number, (place, fault) in enumerate(itertools.product(PLACES, kinds)):
        yield Cell(fault, place, MODES[number % len(MODES)])


async def run(cell: Cell, provider: Provider) -> str | None:
    """Try one cell; return what is wrong, or None."""
    provider.reset()
    rate_limit._limiters.clear()
    plain = create_moa(proposers=_proposers(cell, provider), aggregator=_aggregator(provider))
    await plain.ainvoke({"messages": "Why is the sky blue?"})
    wanted = _written(provider)
    provider.reset()
    deadline = PATIENT if cell.fault == "huge" else DEADLINE
    graph = create_moa(
        proposers=_proposers(cell, provider),
        aggregator=_aggregator(provider),
        combine=_combine(cell, provider),
        deadline=deadline,
    )
    try:
        async with asyncio.timeout(90):
            result = await _asked(graph, cell.mode)
    except MoAError as error:
        return f"refused where synthesize answers: {type(error).__name__}: {error}"
    except BaseException as error:  # any other exception is a finding
        return f"untyped {type(error).__name__}: {error}"
    return _check(cell, result, provider, wanted)


def _check(cell: Cell, result: dict[str, Any], provider: Provider, wanted: list[str]) -> str | None:
    answer, record = str(result["messages"][-1].content), result["record"]
    if not answer.strip():
        return "a silent empty answer"
    # The loopback provider's prose is never a verdict, so that a whole reply is unreadable as well.
    whole = cell.fault in ANSWERED or cell.fault in RECOVERED or cell.fault == "nodone"
    if whole and cell.place in ("strong", "repair", "revision"):
        # A usable draft: the combiner goes on with it, and a repair that does not pass either is said.
        return None if cell.place != "repair" or record["degraded"] else "the record does not say that nothing passed"
    if not record["degraded"]:
        return "the record does not say that the combiner's own call failed"
    if cell.place in ("comparator", "gate"):
        # A comparator that fails finds no agreement, a gate that fails lets the question pass.
        strong = "goodstrong" in answer
        return None if strong == (cell.place == "comparator") else f"answered by the wrong round: {answer[:60]!r}"
    written = _written(provider)
    return None if written == wanted else f"not what synthesize sends: {str(written)[:200]} for {str(wanted)[:200]}"


def _proposers(cell: Cell, provider: Provider) -> list[Any]:
    if cell.place not in AUTHORS:
        return [_spec(f"tok={6 + n}-good{n}", provider) for n in range(2)]
    found = []
    for n in range(2):
        model = Later(model=f"later{n}", text=f"draft number {n}")
        model._then = registry.chat_model(Proposer(**_faulty(cell.fault, provider)))
        found.append({"model": model, "name": f"later {n}"})
    return found


def _aggregator(provider: Provider) -> dict[str, Any]:
    return _spec("tok=6-goodaggregator", provider)


def _combine(cell: Cell, provider: Provider) -> Any:
    """The combiner whose own call at the cell's place is the faulty one."""
    bad, strong = _faulty(cell.fault, provider), _spec("tok=6-goodstrong", provider)
    found: dict[str, Any] = {
        "analyst": {"name": "analyze", "analyst": bad},
        "judge": {"name": "select", "judge": bad},
        "peer": {"name": "select", "by": "peers"},
        "strong": {"name": "escalate", "strong": [bad]},
        "comparator": {"name": "escalate", "strong": [strong], "agree": "model", "comparator": bad},
        "gate": {"name": "escalate", "strong": [strong], "agree": 0.0, "gate": {"model": bad}},
        "reviewer": {"name": "critique", "reviewers": [bad]},
        "repair": {"name": "verify", "check": lambda messages, text: False, "repairs": 1},
        "revision": {"name": "critique", "reviewers": [{"model": PROBLEM, "base_url": provider.url}]},
    }[cell.place]
    return found


def _written(provider: Provider) -> list[str]:
    """Return what the aggregator was sent, without the codes of the boundaries."""
    sent = [json.dumps(request.messages) for request in provider.requests() if "goodaggregator" in request.model]
    return [re.sub(r"\b[0-9a-f]{16}\b", "code", each) for each in sent]


async def run_cells(todo: list[Cell], *, workers: int) -> list[str]:
    """Try all cells, a few at a time, each on its own provider; return what was wrong.

    A cell that fails while other programs keep this one from running is tried again, as in the matrix.
    """
    left, wrong = list(reversed(todo)), list[str]()

    async def worker() -> None:
        with Provider() as provider:
            while left:
                cell = left.pop()
                for _ in range(3):
                    starved = STARVED.seconds
                    why = await run(cell, provider)
                    if not why or STARVED.seconds - starved < 1.0:
                        break
                if why:
                    wrong.append(f"{cell}: {why}")

    await asyncio.gather(*(worker() for _ in range(workers)))
    return wrong
