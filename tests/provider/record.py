"""The record of the provider: every request, and counts per model."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.provider.limits import Limits


@dataclass
class Request:
    """One request; times are `time.perf_counter` seconds.

    `outcome` is open, then answered, error, reset or disconnected.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    arrived: float
    model: str = ""
    first: float | None = None
    done: float | None = None
    outcome: str = "open"

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def messages(self) -> list[dict[str, Any]]:
        found = self.json["messages"]
        assert isinstance(found, list)
        return found


@dataclass
class Log:
    """One period between resets. The server's thread writes, any thread reads."""

    requests: list[Request] = field(default_factory=list)
    by_model: Counter[tuple[str, str]] = field(default_factory=Counter)
    in_flight: Counter[str] = field(default_factory=Counter)
    peaks: Counter[str] = field(default_factory=Counter)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    limits: dict[str, Limits] = field(default_factory=dict)
    connections: int = 0
    total: int = 0
    peak: int = 0
    open: int = 0
    keep: int | None = None
    held: list[Callable[[], None]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def arrive(self, request: Request) -> None:
        """Record a complete chat request."""
        with self.lock:
            self.note(request)
            self.by_model[request.model, "requests"] += 1
            self.open += 1
            self.peak = max(self.peak, self.open)
            self.in_flight[request.model] += 1
            self.peaks[request.model] = max(self.peaks[request.model], self.in_flight[request.model])

    def note(self, request: Request) -> None:
        """Record any other request. It is not counted per model."""
        self.total += 1
        if self.keep is None or len(self.requests) < self.keep:
            self.requests.append(request)

    def leave(self, request: Request, outcome: str) -> None:
        """Record the end of a request. Only its first outcome counts."""
        with self.lock:
            if request.outcome != "open":
                return
            request.outcome, request.done = outcome, time.perf_counter()
            self.by_model[request.model, outcome] += 1
            self.in_flight[request.model] -= 1
            self.open -= 1

    def nth(self, model: str, text: str) -> int:
        """Return how often this model got this question before."""
        self.asked[model, text] += 1
        return self.asked[model, text] - 1

    def stats(self) -> dict[str, Any]:
        """Return the counts as plain data: totals, and `models` with the same per model."""
        kinds = ("requests", "answered", "error", "reset", "disconnected")
        with self.lock:
            names = sorted({model for model, _ in self.by_model})
            models = {
                name: {kind: self.by_model[name, kind] for kind in kinds}
                | {"in_flight": self.in_flight[name], "peak": self.peaks[name]}
                for name in names
            }
            totals = {kind: sum(model[kind] for model in models.values()) for kind in kinds}
            return {
                **totals,
                "in_flight": self.open,
                "peak": self.peak,
                "connections": self.connections,
                "other": self.total - totals["requests"],
                "cpu_seconds": time.process_time(),
                "models": models,
            }
