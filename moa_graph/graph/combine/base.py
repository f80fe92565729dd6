"""What a combiner decides. The base class is `synthesize`: the aggregator reads all drafts of the last round.

A combiner declares, beside its options in `moa_graph.mixture.combiners`: its own nodes, what runs after each step, what
a proposer is shown, what it reads in a draft and when that closes a round, and what the answer is made from. Everything
but the work of its nodes is a pure function of the run's settings and state, so that a run can be resumed anywhere.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import get_runtime

from moa_graph.graph.limits import round_rule
from moa_graph.graph.runs import ANSWER, Run, Step
from moa_graph.graph.shared import take_reply
from moa_graph.graph.slot import Shown, SlotCall
from moa_graph.mixture.combiner import Combiner as Options
from moa_graph.mixture.mixture import Mixture
from moa_graph.state import Draft, MoAState, Note, counted

__all__ = [
    "ANSWER",
    "Combiner",
    "Decision",
    "NodeWork",
    "Step",
    "apart",
    "latest_drafts",
    "notes_of",
    "of_slot",
    "texts_of",
]

NodeWork = Callable[[Run, RunnableConfig], Awaitable[list[Note]]]
"""The work of a combiner's own node."""

O = TypeVar("O", bound=Options)  # noqa: E741
T = TypeVar("T")
P = TypeVar("P", Draft, Note)

_MUCH = 100_000
"""Characters of drafts that are compared on the event loop."""


@dataclass(frozen=True)
class Decision:
    """What the answer is made from.

    Attributes:
        drafts: The drafts that count for the answer.
        shown: What the aggregator's prompt contains.
        answer: A draft that is the answer word for word; None has the aggregator write.
        text: An answer that is not a draft, such as an analysis; None otherwise.
        how: How it was decided, as plain values for the record.
        degraded: What of the combiner's own work is missing.
    """

    drafts: Sequence[Draft]
    shown: Shown
    answer: Draft | None = None
    text: str | None = None
    how: dict[str, Any] = field(default_factory=dict)
    degraded: list[str] = field(default_factory=list)


class Combiner(Generic[O]):
    """How the answer is made from the drafts; this base class is `synthesize`."""

    def __init__(self, options: O) -> None:
        self.options = options
        self.reads = type(self).read is not Combiner.read
        """Whether `read` returns notes."""

    def nodes(self, mixture: Mixture) -> Mapping[str, NodeWork]:
        """Return the combiner's own nodes by name. Their names begin with what they are, such as `judge-`."""
        return {}

    def next(self, run: Run) -> Step:
        """Return what runs after `begin` or after the step that has just ended. Total and pure."""
        layer, base = run.state["layer"], run.settings.base
        if layer < base:
            return Step(layer + 1, run.settings.rounds[layer])
        return self.after(run) if base else Step(1, [ANSWER])

    def after(self, run: Run) -> Step:
        """Return what runs once the mixture's own rounds are over."""
        return Step(run.state["layer"] + 1, [ANSWER])

    def added(self, run: Run, step: Step) -> bool:
        """Return whether the combiner added `step` to the mixture's rounds. The caps may leave out such a step."""
        first = self.first(run, step)
        return step.layer < 1 or step.layer > run.settings.base or not first

    def first(self, run: Run, step: Step) -> bool:
        """Return whether `step` begins a round of drafts, or is the whole of it."""
        layer = step.layer
        return 1 <= layer <= len(run.settings.rounds) and step.nodes[0] == run.settings.rounds[layer - 1][0]

    def may_fail(self, run: Run) -> bool:
        """Return whether the round of `run` may end with too few drafts: one that the combiner added."""
        return run.state["layer"] > run.settings.base

    def batches_left(self, run: Run) -> int:
        """Return how many further steps of calls the round of `run` may take."""
        return 0

    def shown(self, run: Run, slot: int) -> Shown:
        """Return what a proposer's prompt contains of the round before."""
        layer = run.state["layer"]
        if layer == 1:
            return Shown()
        drafts = counted(run.state["drafts"], layer - 1)
        sees = run.settings.mixture.seen(layer) if layer <= run.settings.base else None
        if sees is None:
            return Shown(texts_of(drafts))
        return Shown(texts_of(dealt(drafts, sees, slot, layer)), for_all=False)

    async def read(self, run: Run, draft: Draft) -> Note | None:
        """Return what the combiner reads in a draft that has just come; None reads nothing."""
        return None

    def closes(self, run: Run, notes: Sequence[Note]) -> str | None:
        """Return why the round ends now, or None.

        Args:
            run: The run, with the state before the round's step.
            notes: What was read in the drafts of this step so far.
        """
        return None

    async def race(self, call: SlotCall) -> list[Note]:
        """Make a call, unless its round ends first: by quorum, by the combiner, or as later layers need the time.

        Returns:
            What the combiner read in the draft.
        """
        run, wanted = call.run, call.run.settings
        if wanted.quorum is None and wanted.run_deadline is None and not self.reads:
            await call.send()
            return []
        notes: list[Note] = []

        async def work() -> None:
            await call.send()
            if self.reads and call.outcome.counts and (note := await self.read(run, call.draft())):
                notes.append(note)

        info = get_runtime().execution_info
        step = info.checkpoint_id if info else uuid.uuid4().hex
        latch = run.live.latch(step, round_rule(run, batches=self.batches_left(run), optional=self.may_fail(run)))
        if not await latch.race(work):
            take_reply(call.outcome, run.live.shared, layer=call.layer, slot=call.slot)
            call.outcome.late(latch.why)
            return []
        latch.notes.extend(notes)
        if notes and (why := self.closes(run, latch.notes)):
            latch.close(why)
        if call.outcome.counts and latch.count():
            run.emit({"moa": "quorum", "layer": call.layer, "counted": latch.counted})
        return notes

    def decide(self, run: Run) -> Decision:
        """Return what the answer is made from."""
        return self.synthesis(run)

    def synthesis(self, run: Run, *, how: dict[str, Any] | None = None, degraded: str | None = None) -> Decision:
        """Return what `synthesize` makes the answer from; `degraded` says why the combiner gave up."""
        drafts = latest_drafts(run)
        return Decision(drafts, Shown(texts_of(drafts)), how=how or {}, degraded=[degraded] if degraded else [])

    def verbatim(self, run: Run, draft: Draft, *, how: dict[str, Any]) -> Decision:
        """Return `draft` as the answer; where the caller bound tools or a response format, the aggregator writes."""
        shown = Shown([draft["text"]])
        if run.settings.must_write:
            return Decision([draft], shown, how=how)
        return Decision([draft], shown, answer=draft, how=how)


async def apart(drafts: Sequence[Draft], work: Callable[[], T]) -> T:
    """Do work that reads the texts of drafts. Long ones are read in a thread, so that other tasks run meanwhile."""
    much = sum(len(draft["text"]) for draft in drafts) > _MUCH
    return await asyncio.to_thread(work) if much else work()


def texts_of(drafts: Sequence[Draft]) -> list[str]:
    """Return the texts of drafts."""
    return [draft["text"] for draft in drafts]


def latest_drafts(run: Run) -> list[Draft]:
    """Return each slot's latest counted draft, of the mixture's last round or of a revision after it, in slot order.

    A revision that failed leaves the draft as it was.
    """
    state, found = run.state, dict[int, Draft]()
    for layer in range(run.settings.base, state["layer"]):
        found.update({draft["slot"]: draft for draft in counted(state["drafts"], layer)})
    return [found[slot] for slot in sorted(found)]


def notes_of(state: MoAState, kind: str, layer: int | None = None) -> list[Note]:
    """Return the notes of one kind, of one layer or of all, in order."""
    return [note for note in state["notes"] if note["kind"] == kind and layer in (None, note["layer"])]


def of_slot(found: Sequence[P], slot: int) -> P | None:
    """Return the first draft or note of a slot, if there is one."""
    return next((each for each in found if each["slot"] == slot), None)


def dealt(drafts: Sequence[Draft], sees: int, slot: int, layer: int) -> list[Draft]:
    """Return the `sees` drafts that a slot is shown: dealt around, so that every draft is seen when there are enough.

    The deal depends on the layer and the number of drafts alone, so that a repeated run sends the same bytes.
    """
    if sees >= len(drafts):
        return list(drafts)
    order = list(range(len(drafts)))
    random.Random(f"{layer}:{len(drafts)}").shuffle(order)
    places = sorted(order[(slot * sees + n) % len(order)] for n in range(sees))
    return [drafts[place] for place in places]
