"""What a run ends with: the answer, the record, and errors that state every reason."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from moa_graph.errors import AggregationError, NotEnoughDraftsError
from moa_graph.graph.agreement import Agreement, compare
from moa_graph.graph.combine.base import Decision
from moa_graph.graph.runs import Run
from moa_graph.graph.slot import SlotCall
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.call import Outcome
from moa_graph.state import COUNTED, Draft, Record, SlotRef, UnusedSlot, counted, total_cost, total_usage

__all__ = [
    "Calls",
    "answer_of",
    "best_draft",
    "compared",
    "no_answer",
    "not_enough",
    "record_of",
    "under_new_id",
    "verbatim_answer",
]


class Calls:
    """The calls of aggregators that a run made, in order.

    Attributes:
        made: Each aggregator with the outcome of its call.
        shrunk: Whether the drafts in the last call's prompt were cut because its provider found the prompt too long.
    """

    def __init__(self) -> None:
        self.made: list[tuple[Proposer, Outcome]] = []
        self.shrunk = False

    def add(self, call: SlotCall) -> None:
        """Add a call that has ended."""
        self.made.append((call.spec, call.outcome))
        self.shrunk = call.shrunk

    @property
    def sent(self) -> int:
        """Calls that sent a request."""
        return sum(1 for _, outcome in self.made if outcome.attempts)

    @property
    def cost(self) -> float | None:
        """Dollars of all calls; None when the cost of one is unknown."""
        return total_cost([outcome.cost for _, outcome in self.made])

    @property
    def reasons(self) -> str:
        """Why each call failed, as one text."""
        return "; ".join(f"{spec.label}: {outcome.status}, {outcome.error}" for spec, outcome in self.made)


def not_enough(drafts: Sequence[Draft], layer: int, wanted: int) -> NotEnoughDraftsError:
    """Return the error of a layer with too few counted drafts. It states why each of the others failed.

    Args:
        drafts: All drafts of the run, which the error carries.
        layer: The layer.
        wanted: The drafts that must count.
    """
    mine = [d for d in drafts if d["layer"] == layer]
    got = len(counted(drafts, layer))
    reasons = "; ".join(_named(d) for d in mine if d["status"] not in COUNTED).rstrip(".")
    required = f"at least {wanted} {'is' if wanted == 1 else 'are'} required"
    text = f"layer {layer}: {got} of {len(mine)} drafts succeeded, {required}. {reasons}."
    return NotEnoughDraftsError(text, drafts=drafts)


def no_answer(calls: Calls, drafts: Sequence[Draft]) -> AggregationError:
    """Return the error of a run whose aggregators all failed. It carries the drafts."""
    others = "".join(f" Layer {d['layer']}, {_named(d)}." for d in drafts if d["status"] not in COUNTED)
    reasons = calls.reasons.rstrip(".")
    return AggregationError(f"the aggregator gave no answer: {reasons}.{others}", drafts=drafts)


def _named(draft: Draft) -> str:
    why = f"{draft['status']}, {draft['error'].rstrip('.')}" if draft["error"] else draft["status"]
    return f"{draft['proposer']} ({draft['model']}): {why}"


def answer_of(outcome: Outcome) -> AIMessage:
    """Return the aggregator's message under its own id, so that streams show it once.

    A turn that calls tools keeps the blocks that its provider wants back unchanged.
    """
    if outcome.message is None:
        return AIMessage(content=outcome.text)
    if isinstance(outcome.message.content, list):
        return outcome.message
    return outcome.message.model_copy(update={"content": outcome.text})


def under_new_id(answer: AIMessage, conversation: Sequence[BaseMessage]) -> AIMessage:
    """Return the answer under an id that no message of the conversation has: it would replace that message.

    A server may give several replies one id.

    Args:
        answer: The answer.
        conversation: The messages before it.
    """
    if answer.id is None or all(message.id != answer.id for message in conversation):
        return answer
    return answer.model_copy(update={"id": f"moa-{uuid.uuid4().hex}"})


def best_draft(drafts: Sequence[Draft]) -> AIMessage:
    """Return the draft most alike to the others as the answer, labelled as such. Drafts that are whole come first."""
    whole = [place for place, draft in enumerate(drafts) if draft["status"] == "ok"] or range(len(drafts))
    best = drafts[compare([draft["text"] for draft in drafts]).longest(whole) or 0]
    label = {"moa_status": "best_draft", "model_name": best["model"], "moa_proposer": best["proposer"], **_ending(best)}
    return AIMessage(content=best["text"], response_metadata=label)


def _ending(draft: Draft) -> dict[str, str]:
    """Return how a draft that is the answer ended, where it was cut."""
    return {"finish_reason": "length"} if draft["status"] == "truncated" else {}


def verbatim_answer(run: Run, decision: Decision) -> AIMessage:
    """Return the draft, or the text, that the combiner chose as the answer, as a message."""
    label: dict[str, Any] = {
        "moa_status": decision.how.get("status", "draft"),
        "moa_combine": run.settings.combine.name,
    }
    draft = decision.answer
    if draft is None:
        return AIMessage(content=decision.text or "", id=f"moa-{run.state['run']['id']}", response_metadata=label)
    label |= {"model_name": draft["model"], "moa_proposer": draft["proposer"], **_ending(draft)}
    return AIMessage(content=draft["text"], id=f"moa-{run.state['run']['id']}", response_metadata=label)


def compared(drafts: Sequence[Draft]) -> tuple[list[Draft], Agreement]:
    """Return the counted drafts of the last round that has at least two, or else one, and how alike they are."""
    layers = sorted({draft["layer"] for draft in drafts}, reverse=True)
    rounds = [found for layer in layers if (found := counted(drafts, layer))]
    last = next((found for found in rounds if len(found) > 1), rounds[0] if rounds else [])
    return last, compare([draft["text"] for draft in last])


def record_of(
    run: Run, calls: Calls, decision: Decision, alike: tuple[list[Draft], Agreement], *, best: bool = False
) -> Record:
    """Return the record of a run.

    Args:
        run: The run.
        calls: The calls of its aggregators.
        decision: What the combiner decided.
        alike: The drafts that were compared, and how alike they are.
        best: Whether a draft is the answer because all aggregators failed.
    """
    settings, drafts, notes = run.settings, run.state["drafts"], run.state.get("notes", [])
    last_round, agreement = alike
    last = calls.made[-1] if calls.made else None
    costs = [*(each["cost"] for each in (*drafts, *notes)), *(outcome.cost for _, outcome in calls.made)]
    usages = [*(each["usage"] for each in (*drafts, *notes)), *(outcome.usage for _, outcome in calls.made)]
    written = decision.answer["status"] if decision.answer else last[1].status if last else None
    reasons = [*_degraded(run, calls, best=best), *decision.degraded]
    return Record(
        mixture=settings.mixture.hash,
        preset=settings.mixture.name,
        layers=settings.layers,
        calls=sum(1 for each in (*drafts, *notes) if each["attempts"]) + calls.sent,
        usage=total_usage(usages),
        cost=total_cost(costs),
        seconds=round(run.live.seconds, 4),
        used=[_place(d) for d in drafts if d["status"] in COUNTED],
        unused=[
            UnusedSlot(**_place(d), status=d["status"], reason=d["error"] or d["status"])
            for d in drafts
            if d["status"] not in COUNTED
        ],
        degraded=bool(reasons),
        degraded_reasons=reasons,
        combine=settings.combine.name,
        decision=decision.how,
        agreement=agreement.mean,
        medoid=None if agreement.medoid is None else _place(last_round[agreement.medoid]),
        aggregator=settings.aggregator.label,
        fallback=last[0].label if last and len(calls.made) > 1 and not best else None,
        prompt=settings.prompt,
        status="best_draft" if best else "truncated" if written == "truncated" else "ok",
    )


def _degraded(run: Run, calls: Calls, *, best: bool) -> list[str]:
    """Return what the mixture planned and the run did not get."""
    found = list[str]()
    for draft in run.state["drafts"]:
        if draft["status"] not in COUNTED:
            found.append(f"{draft['proposer']}: {draft['status']}, {draft['error'] or draft['status']}")
    aggregator = run.settings.aggregator.label
    if best:
        found.append(f"{aggregator} gave no answer, a draft is the answer")
    elif len(calls.made) > 1:
        found.append(f"{aggregator} gave no answer, {calls.made[-1][0].label} answered")
    if calls.shrunk:
        found.append("drafts were cut because the provider found the prompt too long")
    return list(dict.fromkeys(found))


def _place(draft: Draft) -> SlotRef:
    return SlotRef(layer=draft["layer"], slot=draft["slot"], proposer=draft["proposer"])
