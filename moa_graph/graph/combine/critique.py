"""`critique`: reviewers say what is unsupported, missing or wrong; authors revise only that; the aggregator writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from langchain_core.runnables import RunnableConfig

from moa_graph.graph.combine.base import Combiner, Decision, NodeWork, Step, latest_drafts, notes_of, of_slot, texts_of
from moa_graph.graph.combine.calls import call, unsent
from moa_graph.graph.runs import Run
from moa_graph.graph.slot import Shown, note_part
from moa_graph.mixture.answers import json_objects
from moa_graph.mixture.combiner import PlannedCall
from moa_graph.mixture.combiners import Critique as Options
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer
from moa_graph.state import Note, counted

__all__ = ["Critique"]

REVIEW = (
    "An assistant has drafted a reply to the conversation above. It follows. Review it; do not write a reply "
    "yourself. Name only problems that a knowledgeable person would want put right: statements that are wrong or "
    "unsupported, and what is missing though the question asks for it. Style is no problem. A draft without "
    "problems gets an empty list.\n"
    'Answer with one JSON object and nothing else: {"problems": [{"kind": "wrong" or "unsupported" or "missing", '
    '"what": "the problem in one or two sentences"}]}'
)
_WORDS = ("what", "problem", "description", "issue", "text")
"""Where a reviewer says what a problem is: the first as it was asked to."""
RUBRIC = "Look for this in particular:"
REVISE = (
    "You have drafted a reply to the conversation above. It follows, and then what a reviewer found. The review "
    "can be wrong: check every point. Write the whole reply again and change only what the review rightly raises;"
    " leave the rest as it is. Do not mention the draft, the review or the boundaries."
)


class Critique(Combiner[Options]):
    """One review for each draft. An empty review costs no call; a review that fails leaves its draft as it is."""

    def nodes(self, mixture: Mixture) -> Mapping[str, NodeWork]:
        many = max(len(names) for names in mixture.plan.rounds)
        return {name: partial(self._review, name, n) for n in range(many) for name in [f"reviewer-{n}"]}

    def after(self, run: Run) -> Step:
        state, layer, base = run.state, run.state["layer"], run.settings.base
        drafts = counted(state["drafts"], layer)
        if layer > base or not drafts:
            return super().after(run)
        if not any(name.startswith("reviewer-") for name in state["next"]):
            return Step(layer, [f"reviewer-{draft['slot']}" for draft in drafts])
        names = run.settings.rounds[base]
        there = {draft["slot"] for draft in drafts}
        reviews = notes_of(state, "review", layer)
        authors = [names[note["slot"]] for note in reviews if note["slot"] in there and _problems(note)]
        return Step(layer + 1, authors) if authors else super().after(run)

    async def _review(self, name: str, slot: int, run: Run, config: RunnableConfig) -> list[Note]:
        layer = run.state["layer"]
        drafts = counted(run.state["drafts"], layer)
        nodes = run.settings.mixture.plan.specs
        proposers = [nodes[each] for each in run.settings.rounds[layer - 1]]

        def reviewer(number: int) -> Proposer:
            return self.options.reviewer_of(number, proposers, run.settings.aggregator)

        draft = of_slot(drafts, slot)
        if draft is None:  # dropped by a person after the reviewers were chosen
            return [unsent("review", name, layer, slot, "its draft was dropped")]
        instruction = "\n".join([REVIEW, *([RUBRIC, self.options.rubric] if self.options.rubric else [])])
        note = await call(
            run, config, reviewer(slot), Shown([draft["text"]], instruction=instruction), _read,
            role="reviewer", kind="review", by=name, layer=layer, slot=slot,
            ways=[
                lambda: [
                    *(PlannedCall(reviewer(draft["slot"]), layer, "reviewer", 1) for draft in drafts),
                    *run.settings.answering(),
                ]
            ],
        )  # fmt: skip
        return [note]

    def shown(self, run: Run, slot: int) -> Shown:
        layer = run.state["layer"]
        if layer <= run.settings.base:
            return super().shown(run, slot)
        mine = of_slot(counted(run.state["drafts"], layer - 1), slot)
        note = of_slot(notes_of(run.state, "review", layer - 1), slot)
        if mine is None or note is None:
            return Shown(absent="its draft or the review of it was dropped")
        words = "\n".join(f"- {each['kind']}: {each['what']}" for each in _problems(note))
        return Shown([mine["text"]], instruction=REVISE, notes=[note_part("review", words)], for_all=False)

    def decide(self, run: Run) -> Decision:
        base = run.settings.base
        reviews = notes_of(run.state, "review", base)
        revised = counted(run.state["drafts"], base + 1)
        wanted = sum(1 for note in reviews if _problems(note))
        drafts = latest_drafts(run)
        how = {"reviews": len(reviews), "with_problems": wanted, "revised": len(revised)}
        lost = [f"{note['by']}: {note['error']}" for note in reviews if note["data"] is None]
        if not reviews and drafts:
            lost.append("critique: no reviewer was called")
        chosen = Decision(drafts, Shown(texts_of(drafts)), how=how)
        if base and len(run.settings.rounds[base - 1]) == 1 and len(drafts) == 1:
            chosen = self.verbatim(run, drafts[0], how=how)
        return replace(chosen, degraded=lost)


def _problems(note: Note) -> list[Mapping[str, Any]]:
    return list(note["data"]["problems"]) if note["data"] else []


def _read(text: str) -> dict[str, Any] | None:
    """Read the last list of problems in a review; None where it has entries, and none of them says anything."""
    found = None
    for value in json_objects(text):
        if isinstance(given := value.get("problems"), list):
            found = [problem for each in given if (problem := _problem(each))] if given else []
            found = None if given and not found else [each for each in found if each["what"]]
    return None if found is None else {"problems": found}


def _problem(entry: object) -> dict[str, str] | None:
    """Read a problem: a text, or an object with one; None for another shape."""
    fields: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {"what": entry}
    words = [text for name in _WORDS if isinstance(text := fields.get(name), str)]
    kind = fields.get("kind")
    known = isinstance(kind, str) and kind in ("wrong", "unsupported", "missing")
    return {"kind": str(kind) if known else "wrong", "what": words[0].strip()} if words else None
