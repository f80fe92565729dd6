"""Every fault in every position, mode and number of rounds: the expected outcome, and the actual one."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from moa_graph import AggregationError, MoAError, NotEnoughDraftsError, create_moa
from moa_graph.models import rate_limit
from moa_graph.state import COUNTED
from tests.faults.foreign import Own
from tests.provider import ANSWERED, FAULTS, Provider

POSITIONS = ("first", "last", "all", "aggregator")
MODES = ("sync", "async", "stream")
ROUNDS = (1, 2, 3)
DEADLINE = 3.0
"""Seconds per call: far more than a healthy call on loopback takes, even on a busy machine."""

PATIENT = 5 * DEADLINE
"""For "huge": three drafts of 2 MB in a prompt take seconds of a busy machine."""

RECOVERED = {
    "once 429, Retry-After in ms": "err429x1-rams=20",
    "once 429, Retry-After in s": "err429x1-ra=0.05",
    "once 503": "err503x1",
    "once reset": "resetx1",
}
REPEATED = {
    "429, Retry-After in s": "err429-ra=0.1",
    "429, Retry-After as a date": "err429-radate=1",
    "429, Retry-After past the deadline": "err429-ra=30",
    "500 with a web page": "err500-html",
}
ELSEWHERE = ("refused connection", "no such host", "no TLS", "foreign raises", "foreign cancels", "foreign unwinds",
             "foreign returns nothing", "foreign hangs")  # fmt: skip
KINDS = (*FAULTS, *REPEATED, *RECOVERED, *ELSEWHERE)
ONE_REQUEST = frozenset({"err400", "err401", "err403", "err404", "err422", "quota", "nomodel"})
"""A 4xx that cannot succeed is asked once."""


class Cell(NamedTuple):
    fault: str
    position: str
    mode: str
    rounds: int


@dataclass
class Result:
    cell: Cell
    outcome: str  # answered, refused or wrong
    why: str = ""
    starved: float = 0.0


def cells(kinds: tuple[str, ...] = KINDS, rounds: tuple[int, ...] = ROUNDS) -> Iterator[Cell]:
    for each in itertools.product(kinds, POSITIONS, MODES, rounds):
        yield Cell(*each)


def survivable(cell: Cell) -> bool:
    """Return whether an answer is expected: enough models are healthy, or the unusual reply has a usable text."""
    if cell.position in ("first", "last") or cell.fault in ANSWERED or cell.fault in RECOVERED:
        return True
    # A whole reply cannot be cut as a stream can.
    return cell.fault == "nodone" and (cell.position == "all" or cell.mode != "stream")


async def run(cell: Cell, provider: Provider) -> Result:
    """Run one cell with its own provider. Repeat it if it failed while the machine stood still."""
    for _ in range(3):
        starved = STARVED.seconds
        result = await _once(cell, provider)
        result.starved = STARVED.seconds - starved
        if result.outcome != "wrong" or result.starved < 1.0:
            break
    return result


async def _once(cell: Cell, provider: Provider) -> Result:
    provider.reset()
    rate_limit._limiters.clear()
    graph = mixture(cell, provider)
    start, starved = time.monotonic(), STARVED.seconds
    try:
        async with asyncio.timeout(90):
            result = await _asked(graph, cell.mode)
    except MoAError as error:
        wrong = _check_error(cell, error)
        outcome = "refused"
    except BaseException as error:  # any other exception is a finding
        wrong, outcome = f"untyped {type(error).__name__}: {error}", "refused"
    else:
        wrong, outcome = _check_answer(cell, result), "answered"
    wrong = (
        wrong
        or _check_time(cell, time.monotonic() - start - (STARVED.seconds - starved))
        or _check_requests(cell, provider)
    )
    return Result(cell, "wrong" if wrong else outcome, wrong or "")


def mixture(cell: Cell, provider: Provider) -> Any:
    """Three proposers and an aggregator, the faulty one or ones in position."""
    bad = _faulty(cell.fault, provider)
    good = [_spec(f"tok=6-good{n}", provider) for n in range(3)]
    proposers = {
        "first": [bad, *good[1:]],
        "last": [*good[:2], bad],
        "all": [{**_faulty(cell.fault, provider), "name": f"bad {n}"} for n in range(3)],
        "aggregator": good,
    }[cell.position]
    return create_moa(
        proposers=proposers,
        aggregator=bad if cell.position == "aggregator" else _spec("tok=6-goodaggregator", provider),
        layers=cell.rounds + 1,
        deadline=_deadline(cell),
    )


def _deadline(cell: Cell) -> float:
    return PATIENT if cell.fault == "huge" else DEADLINE


def _spec(model: str, provider: Provider) -> dict[str, Any]:
    return {"model": f"openai:{model}", "base_url": provider.url}


def _faulty(fault: str, provider: Provider) -> dict[str, Any]:
    spec = _spec("tok=6-bad", provider)
    if fault.startswith("foreign"):
        return {"model": Own(model="own", fault=fault.removeprefix("foreign ").removeprefix("returns "), seen=[])}
    if fault == "refused connection":
        return {**spec, "base_url": "http://127.0.0.1:9/v1"}
    if fault == "no such host":
        return {**spec, "base_url": "http://nobody.invalid/v1"}
    if fault == "no TLS":
        return {**spec, "base_url": provider.url.replace("http:", "https:")}
    part = {**REPEATED, **RECOVERED}.get(fault, fault)
    return _spec(f"{part}-tok=6-bad", provider)


async def _asked(graph: Any, mode: str) -> dict[str, Any]:
    question = {"messages": [{"role": "user", "content": "Why is the sky blue?"}]}
    if mode == "sync":
        return dict(await asyncio.get_running_loop().run_in_executor(THREADS, graph.invoke, question))
    if mode == "async":
        return dict(await graph.ainvoke(question))
    last: dict[str, Any] = {}
    async for kind, part in graph.astream(question, stream_mode=["messages", "custom", "values"]):
        if kind == "values":
            last = part
    return last


def _check_answer(cell: Cell, result: dict[str, Any]) -> str | None:
    if not survivable(cell):
        return "an answer where none can be"
    text, record = result["messages"][-1].content, result["record"]
    if not (isinstance(text, str) and text.strip()):
        return "a silent empty answer"
    drafts = result["drafts"]
    counted = [d for d in drafts if d["status"] in COUNTED]
    if len(drafts) != 3 * cell.rounds or any(not any(d["layer"] == n + 1 for d in counted) for n in range(cell.rounds)):
        return f"drafts are missing: {[(d['layer'], d['slot'], d['status']) for d in drafts]}"
    if any("loopback" in d["text"] or not d["text"] for d in counted):
        return "an error's text, or none, counts as a draft"
    if any(not d["error"] for d in drafts if d not in counted):
        return "a draft does not count and does not say why"
    healthy = [d for d in drafts if "good" in d["model"] and d["status"] != "ok"]
    if healthy:
        return f"a healthy sibling is {healthy[0]['status']}: {healthy[0]['error']}"
    if len(record["used"]) != len(counted) or len(record["unused"]) != len(drafts) - len(counted):
        return "the record does not say what was used"
    return None if record["degraded"] or len(counted) == len(drafts) else "the record does not say that it is degraded"


def _check_error(cell: Cell, error: MoAError) -> str | None:
    if survivable(cell):
        return f"refused where an answer can be: {type(error).__name__}: {error}"
    wanted = AggregationError if cell.position == "aggregator" else NotEnoughDraftsError
    if not isinstance(error, wanted):
        return f"{type(error).__name__} instead of {wanted.__name__}"
    if len(error.drafts) != (3 * cell.rounds if cell.position == "aggregator" else 3):
        return f"{len(error.drafts)} drafts attached"
    if "Traceback" in str(error) or "\n" in str(error):
        return "a raw traceback"
    missing = [d["proposer"] for d in error.drafts if d["error"] and f"{d['proposer']} (" not in str(error)]
    silent = [d["proposer"] for d in error.drafts if d["status"] not in COUNTED and not d["error"]]
    return f"no reason given for {missing or silent}" if missing or silent else None


class Starved(threading.Thread):
    """How many seconds this machine kept a thread that only sleeps from running: no program can answer in those."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seconds = 0.0
        self.start()

    def run(self) -> None:
        while True:
            before = time.monotonic()
            time.sleep(0.02)
            self.seconds += max(0.0, time.monotonic() - before - 0.025)


def _check_time(cell: Cell, seconds: float) -> str | None:
    limit = (cell.rounds + 1) * _deadline(cell) + 1.0
    return f"{seconds:.1f} s, at most {limit:g} allowed" if seconds > limit else None


def _check_requests(cell: Cell, provider: Provider) -> str | None:
    stats = provider.stats()["models"]
    for name, counts in stats.items():
        if "good" in name and counts["disconnected"]:
            return f"a healthy sibling was cancelled: {name}"
    if cell.fault in ONE_REQUEST:
        layers = 1 if cell.position in ("all", "aggregator") else cell.rounds
        calls = 3 if cell.position == "all" else layers
        sent = sum(counts["requests"] for name, counts in stats.items() if "bad" in name)
        if sent != calls:
            return f"{sent} requests for {calls} calls that cannot succeed"
    return None


STARVED = Starved()
THREADS = ThreadPoolExecutor(32)  # the loop's own has too few for all cells that run at once
