"""The runs of a graph: what a node knows of its run, and what the run keeps in this process while it works.

A run keeps its clock, its retry budget, the latch of its round, and what was computed from the mixture and the messages
once. None of it is in the state: after a resume in another process, all of it starts again. A resume in this process
continues the clock and the retry budget. Copies of a paused thread have the same run id, and are apart: each invocation
keeps its own.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from langgraph.runtime import get_runtime

from moa_graph.costs.call_log import CallLog
from moa_graph.errors import ConfigError, MoAError
from moa_graph.graph.checks.state import check_place, check_run
from moa_graph.graph.latch import Latch, Rule
from moa_graph.mixture.context import Settings, settings
from moa_graph.mixture.mixture import Mixture
from moa_graph.models.faults.retries import RetryBudget
from moa_graph.state import Event, MoAState
from moa_graph.state.updates import UpdateError

__all__ = ["ANSWER", "NOT_BEGUN", "Live", "Run", "Runs", "Step", "in_run"]

ANSWER = "aggregate"
"""The node that writes the answer."""

NOT_BEGUN = (
    "state.run: no run has begun in this thread. Send messages as the input of a run. "
    'update_state(config, {"messages": ...}, as_node="__start__") puts them into a thread without calling a model.'
)

TOO_LITTLE = 0.05
"""Seconds. A run with less time left than this sends no further request."""

_MOST = 10_000
"""Runs kept at once. Above that, the one that was idle longest is forgotten."""

_IDLE_SECONDS = 600.0
"""An idle run is forgotten after this time: it was cancelled between two nodes, or it waits for a person."""


class Live:
    """What one run keeps in this process, for one invocation of the graph.

    Attributes:
        invocation: The invocation.
        budget: Retries and hedges that the run may still send.
        settings: The run's context, and the settings computed from it.
        targets: The run's models with the conversation in the form that each takes; see `graph/targets.py`.
        conversations: The repaired conversations, by what models take.
        shared: Requests that several slots share; see `graph/shared.py`.

    Args:
        calls: The most calls of the run when nothing fails. At most as many retries and as many hedges are sent.
        invocation: The invocation.
        earlier: What an earlier invocation of the run kept; its clock and its budget go on.
    """

    def __init__(self, calls: int, invocation: object = None, earlier: Live | None = None) -> None:
        self.invocation = invocation
        self.budget: RetryBudget = earlier.budget if earlier else RetryBudget(calls)
        self.settings: tuple[object, Settings] | None = None
        self.targets: dict[Any, Any] = {}
        self.conversations: dict[Any, Any] = {}
        self.shared: dict[Any, Any] = {}
        self._working = 0
        self._since = time.monotonic()
        self._spent = earlier.seconds if earlier else 0.0
        self._latches: dict[str, Latch] = {}

    def latch(self, step: str, rule: Rule) -> Latch:
        """Return the latch of a super-step, the same one for all its nodes.

        It is kept after its last call has ended: a node of the step that begins later (those of sync callers do, on a
        busy machine) counts the drafts that are there.

        Args:
            step: The checkpoint id of the super-step.
            rule: The rule of a new latch.
        """
        if step not in self._latches:
            self._latches = {**{key: latch for key, latch in self._latches.items() if latch.open}, step: Latch(rule)}
        return self._latches[step]

    def start(self) -> None:
        """Start the clock, or keep it running for one more node."""
        if self._working == 0:
            self._since = time.monotonic()
        self._working += 1

    def stop(self) -> None:
        """Stop the clock if no other node works."""
        self._working -= 1
        if self._working == 0:
            now = time.monotonic()
            self._spent += now - self._since
            self._since = now

    @property
    def working(self) -> bool:
        """Whether a node works now."""
        return self._working > 0

    @property
    def seconds(self) -> float:
        """Seconds for which nodes of the run have worked in this process."""
        return self._spent + (time.monotonic() - self._since if self._working else 0.0)

    def left(self, run_deadline: float | None) -> float:
        """Return the seconds until the run's deadline; infinity without one."""
        return math.inf if run_deadline is None else run_deadline - self.seconds

    def idle(self, now: float) -> bool:
        """Return whether no node has worked for so long that the run can be forgotten."""
        return self._working == 0 and now - self._since > _IDLE_SECONDS


_lock = threading.Lock()
_runs: OrderedDict[str, list[Live]] = OrderedDict()
"""The runs of this process by id, the one that was used last at the end. A run has several invocations when copies of
its thread are resumed at once."""


@contextmanager
def in_run(run_id: str, calls: int, *, invocation: object = None, last: bool = False) -> Iterator[Live]:
    """Yield what a run keeps, while one of its nodes works.

    Args:
        run_id: The run's id.
        calls: The most calls of the run, for a run that is not known yet.
        invocation: The invocation of the graph that the node belongs to.
        last: Whether this is the run's last node. The run is forgotten after it, and when a node raises or is
            cancelled.
    """
    now = time.monotonic()
    with _lock:
        live = _live(run_id, calls, invocation)
        live.start()
        while len(_runs) > _MOST or all(each.idle(now) for each in next(iter(_runs.values()))):
            _runs.popitem(last=False)
    try:
        yield live
    except BaseException:
        last = True
        raise
    finally:
        live.stop()
        if last:
            _forget(run_id, live)


def _live(run_id: str, calls: int, invocation: object) -> Live:
    """Return what an invocation of a run keeps. A new one takes the place of an earlier one that has ended."""
    lives = _runs.setdefault(run_id, [])
    _runs.move_to_end(run_id)
    if known := next((each for each in lives if each.invocation == invocation), None):
        return known
    earlier = next((each for each in lives if not each.working), None)
    live = Live(calls, invocation, earlier)
    _runs[run_id] = [*(each for each in lives if each is not earlier), live]
    return live


def _forget(run_id: str, live: Live) -> None:
    with _lock:
        others = [each for each in _runs.get(run_id, ()) if each is not live]
        if others:
            _runs[run_id] = others
        else:
            _runs.pop(run_id, None)


@dataclass(frozen=True)
class Step:
    """What the graph runs next.

    Attributes:
        layer: The layer that the nodes work for.
        nodes: Their names: proposers, a combiner's own nodes, or the node that writes the answer.
    """

    layer: int
    nodes: list[str]

    @property
    def last(self) -> bool:
        """Whether the answer comes next."""
        return self.nodes == [ANSWER]


def _no_stream(event: Event) -> None:
    """Drop the event: nothing streams the run."""


@dataclass(frozen=True)
class Run:
    """What one node knows of its run.

    Attributes:
        settings: The mixture under the run's context.
        state: The graph's state as the node received it.
        live: What the run keeps in this process.
        ledger: Where paid calls are recorded, if anywhere.
        emit: Sends a custom event to the caller that streams the run.
    """

    settings: Settings
    state: MoAState
    live: Live
    ledger: CallLog | None = None
    emit: Callable[[Event], None] = field(default=_no_stream)

    @property
    def left(self) -> float:
        """Seconds until the run's deadline; infinity without one."""
        return self.live.left(self.settings.run_deadline)

    @property
    def over(self) -> bool:
        """Whether too little time is left for any request."""
        return self.settings.run_deadline is not None and self.left <= TOO_LITTLE


@dataclass(frozen=True)
class Runs:
    """The runs of one graph.

    Attributes:
        mixture: The graph's mixture.
        ledger: Where paid calls are recorded, if anywhere.
    """

    mixture: Mixture
    ledger: CallLog | None = None

    @contextmanager
    def node(self, state: MoAState, *, last: bool = False) -> Iterator[Run]:
        """Yield the run that `state` belongs to, while one of its nodes works.

        Args:
            state: The state that the node received.
            last: Whether it is the run's last node.

        Raises:
            ConfigError: The thread was begun under another mixture.
            InputError: No run has begun in the thread, or a person broke the fields that say where it is.
        """
        info = state.get("run")
        if not info:
            raise UpdateError(NOT_BEGUN)
        try:
            run_id, mixture, shape = str(info["id"]), info["mixture"], (info["layers"], info["combine"])
            most = self._most_calls.get(shape)
        except (KeyError, TypeError):
            check_run(info, self.mixture)
            raise
        if mixture != self.mixture.hash:
            raise ConfigError(
                f"this thread's unfinished run belongs to another mixture (hash {mixture}, this one is "
                f"{self.mixture.hash}). Resume it with that mixture, or send a new message to start again."
            )
        if most is None:
            check_run(info, self.mixture)
            most = self._most_calls[shape] = self.mixture.calls(*shape)
        runtime = get_runtime()
        thread = runtime.execution_info.thread_id if runtime.execution_info else None
        # Each invocation has a control of its own, unless the caller passes one to several, and an event loop of its
        # own or the background loop. Keys may have changed since an earlier one.
        invocation = runtime.control, asyncio.get_running_loop(), thread
        with in_run(run_id, most, invocation=invocation, last=last) as live:
            # Once per process and resume: a resume brings a context object of its own, and what a person edited.
            if live.settings is None or live.settings[0] is not runtime.context:
                check_run(info, self.mixture)
                live.settings = runtime.context, settings(self.mixture, runtime.context).begun(info)
                check_place(state, live.settings[1])
            try:
                yield Run(live.settings[1], state, live, self.ledger, runtime.stream_writer)
            except MoAError as error:
                error.notes = list(state.get("notes") or ())
                raise

    @cached_property
    def _most_calls(self) -> dict[tuple[int, str], int]:
        """The most calls of a run by its layers and its combiner."""
        return {}
