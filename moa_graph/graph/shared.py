"""One request for all slots of a proposer with `one_request`: who sends it, and how the slots get their replies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from moa_graph.graph.recording import Recording
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.call import Call, Outcome, Terms, ask, settled
from moa_graph.models.reply.samples import refuses_choices
from moa_graph.models.secrets.keys import host

__all__ = ["SharedRequest", "take_reply", "takes_samples"]

_log = logging.getLogger("moa_graph.samples")

RecordingOf = Callable[[int], Awaitable[Recording]]
"""Returns a slot's place in the ledger."""

_separate: set[tuple[str, str]] = set()
"""Models that this process has found not to take `n`, by host and name."""


def takes_samples(spec: Proposer) -> bool:
    """Return whether the proposer's slots share requests: it wants that, and its server has not refused it."""
    return spec.one_request and spec.samples > 1 and _who(spec) not in _separate


def _who(spec: Proposer) -> tuple[str, str]:
    return host(spec) or "", spec.label


def _send_separately(spec: Proposer, reason: str) -> None:
    if _who(spec) not in _separate:
        _separate.add(_who(spec))
        _log.warning("%s: one_request has no effect, each sample is a request of its own: %s", spec.label, reason)


def take_reply(outcome: Outcome, requests: Mapping[Any, SharedRequest], *, layer: int, slot: int) -> None:
    """Write the reply that a shared request has brought for a slot, which is billed though the slot never asked for it.

    Args:
        outcome: The slot's outcome.
        requests: The run's shared requests, by keys that begin with their layer.
        layer: The layer.
        slot: The slot.
    """
    for (of_layer, *_), request in requests.items():
        if of_layer == layer and slot in request.outcomes:
            outcome.take(request.outcomes[slot])


@dataclass
class SharedRequest:
    """A request that several slots of a round share. The first slot that comes sends it; the others wait for it.

    Attributes:
        slots: The slots, the first of which is billed for the prompt.
        outcomes: The outcomes of slots that wait, and of slots whose reply is there before they ask for it.
    """

    slots: Sequence[int]
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    _sender: int | None = None
    _done: asyncio.Event = field(default_factory=asyncio.Event)
    _alone: set[int] = field(default_factory=set)
    _refusal: str = ""

    async def send(
        self,
        slot: int,
        outcome: Outcome,
        call: Call,
        terms: Terms,
        recording_of: RecordingOf | None,
    ) -> None:
        """Fill in the outcome of one slot: from the shared request, or from a request of its own where it got no reply.

        Args:
            slot: The slot.
            outcome: Its outcome.
            call: The request for one reply.
            terms: The limits of time and attempts.
            recording_of: Returns each slot's place in the ledger; None without a ledger.
        """
        if slot in self.outcomes:
            outcome.take(self.outcomes.pop(slot))
            return
        self.outcomes[slot] = outcome
        if self._sender is None:
            self._sender = slot
            try:
                await self._send_for_all(slot, outcome, call, terms, recording_of)
            finally:
                self._done.set()
        else:
            await self._done.wait()
        if slot in self._alone:
            await ask(call, terms, outcome)
            if self._refusal and outcome.message is not None and call.spec is not None:
                # Refused with `n` and answered without it. Another refusal says nothing about `n`.
                _send_separately(call.spec, self._refusal)
        elif outcome.message is None and not outcome.error:
            outcome.unsent("the request for all samples was interrupted", status="failed")

    async def _send_for_all(
        self, sender: int, outcome: Outcome, call: Call, terms: Terms,
        recording_of: RecordingOf | None,
    ) -> None:  # fmt: skip
        spec = call.spec
        assert spec is not None
        others = [slot for slot in self.slots if slot != sender]
        recordings = {} if recording_of is None else {slot: await recording_of(slot) for slot in others}
        known = {slot for slot, recording in recordings.items() if await recording.known()}
        wanted = [sender, *[slot for slot in others if slot not in known]]
        if len(wanted) == 1 or not takes_samples(spec):
            self._alone.update(wanted)
            return
        await ask(replace(call, samples=len(wanted)), replace(terms, hedge=None), outcome)
        if outcome.message is None and outcome.fault and refuses_choices(outcome.fault):
            self._refusal = outcome.fault.reason
            self._alone.update(wanted)
            return
        for place, slot in enumerate(wanted[1:]):
            if place < len(outcome.choices):
                await self._give(slot, outcome, place, call)
            elif outcome.message is None:
                self._of(slot).failed_with(outcome)
            else:
                _send_separately(spec, f"{len(outcome.choices) + 1} of {len(wanted)} replies came")
                self._alone.add(slot)
        for slot in wanted[1:]:
            if slot in recordings and slot not in self._alone:
                await recordings[slot].keep(self._of(slot))

    def _of(self, slot: int) -> Outcome:
        return self.outcomes.setdefault(slot, Outcome())

    async def _give(self, slot: int, sent: Outcome, place: int, call: Call) -> None:
        mine = self._of(slot)
        mine.answered(sent.choices[place])
        mine.seconds = sent.seconds
        if sent.of_batch:
            mine.batched()
        await settled(call, mine)
