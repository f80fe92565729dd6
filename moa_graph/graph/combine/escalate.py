"""`escalate`: a cheap round; when its drafts agree, one of them is the answer, else a strong round is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_core.runnables import RunnableConfig

from moa_graph.graph.agreement import compare
from moa_graph.graph.combine.base import ANSWER, Combiner, Decision, NodeWork, Step, notes_of, texts_of
from moa_graph.graph.combine.calls import call
from moa_graph.graph.runs import Run
from moa_graph.graph.slot import Shown
from moa_graph.mixture.answers import json_objects, key
from moa_graph.mixture.combiner import PlannedCall
from moa_graph.mixture.combiners import Escalate as Options
from moa_graph.mixture.mixture import Mixture
from moa_graph.state import Draft, Note, counted

__all__ = ["Escalate"]

_WORD = re.compile(r"[\"'*`_]*(yes|no|true|false)(?![\w'])(?![ \t]+\w)", re.I)

GATE = "gate"
COMPARATOR = "comparator"

ASK_GATE = (
    "Do not reply to the conversation above. Answer one question about it with one JSON object and nothing else: "
    '{"answer": "yes"} or {"answer": "no"}.\n'
)
ASK_SAME = (
    "Several assistants, who do not see each other, have each drafted a reply to the conversation above. Their drafts "
    "follow. Do they all say the same in substance, so that a person could take any of them for the others? Wording, "
    "order and length do not matter; a different result, figure, name or recommendation does. Answer with one JSON "
    'object and nothing else: {"answer": "yes"} or {"answer": "no"}.'
)


class Escalate(Combiner[Options]):
    """Layer 1 is the cheap round, layer 2 the strong one. A gate that fails means yes, a comparator that fails no."""

    def nodes(self, mixture: Mixture) -> Mapping[str, NodeWork]:
        found: dict[str, NodeWork] = {}
        if self.options.gate:
            found[GATE] = self._gate
        if self.options.agree == "model":
            found[COMPARATOR] = self._compare
        return found

    def next(self, run: Run) -> Step:
        layer, ran = run.state["layer"], run.state["next"]
        if not run.settings.base:
            return Step(1, [ANSWER])
        if layer == 0:
            if self.options.gate and GATE not in ran:
                return Step(0, [GATE])
            return Step(1, [ANSWER] if self._refused(run) else run.settings.rounds[0])
        if layer == 1:
            return self._after_cheap(run)
        return Step(3, [ANSWER])

    def _after_cheap(self, run: Run) -> Step:
        drafts = counted(run.state["drafts"], 1)
        if self.options.agree == "model" and len(drafts) > 1 and COMPARATOR not in run.state["next"]:
            return Step(1, [COMPARATOR])
        return Step(2, [ANSWER] if self._agreed(run) else run.settings.rounds[1])

    async def _gate(self, run: Run, config: RunnableConfig) -> list[Note]:
        gate = self.options.gate
        assert gate is not None
        shown = Shown(instruction=ASK_GATE + gate.question)
        note = await call(
            run, config, gate.model, shown, _yes_or_no, role=GATE, kind="check", by=GATE, layer=0,
            # After a "no" the aggregator alone is called, after a "yes" the cheap round.
            ways=[
                lambda: run.settings.planned(least=True),
                lambda: [PlannedCall(gate.model, 0, GATE, 0), *run.settings.needed()],
            ],
        )  # fmt: skip
        return [note]

    async def _compare(self, run: Run, config: RunnableConfig) -> list[Note]:
        spec = self.options.comparator or run.settings.aggregator
        shown = Shown(texts_of(counted(run.state["drafts"], 1)), instruction=ASK_SAME)
        return [await call(run, config, spec, shown, _yes_or_no, role=COMPARATOR, kind="check", by=COMPARATOR, layer=1)]

    def _refused(self, run: Run) -> bool:
        """Return whether the gate said that the conversation needs no mixture."""
        note = _said(run, 0)
        return bool(note and note["data"] and note["data"]["answer"] == "no")

    def _agreed(self, run: Run) -> bool:
        drafts = counted(run.state["drafts"], 1)
        # A cheap round of several slots in which only one answered says nothing about agreement.
        if len(drafts) < 2:
            return len(run.settings.rounds[0]) == 1 and len(drafts) == 1
        if self.options.agree == "model":
            note = _said(run, 1)
            return bool(note and note["data"] and note["data"]["answer"] == "yes")
        if self.options.agree == "exact":
            answers = {key(draft["text"], self.options.answer) for draft in drafts}
            return len(answers) == 1 and None not in answers
        return (compare(texts_of(drafts)).mean or 0.0) >= self.options.agree

    def may_fail(self, run: Run) -> bool:
        # Where the cheap round gives nothing, the strong one is called; where both do, that is an error.
        return run.state["layer"] == 1 or bool(counted(run.state["drafts"], 1))

    def shown(self, run: Run, slot: int) -> Shown:
        if run.state["layer"] == 1 or not self.options.show_cheap:
            return Shown()
        return Shown(texts_of(counted(run.state["drafts"], 1)))

    def decide(self, run: Run) -> Decision:
        state = run.state
        lost = [f"{note['by']}: {note['error']}" for note in notes_of(state, "check") if not note["data"]]
        cheap, strong = counted(state["drafts"], 1), counted(state["drafts"], 2)
        how: dict[str, Any] = {"agreement": compare(texts_of(cheap)).mean, "escalated": state["layer"] == 3}
        if self.options.gate:
            how["gate"] = "no" if self._refused(run) else "yes"
        if state["layer"] < 3:
            chosen = self.verbatim(run, _medoid(cheap), how=how) if cheap else self.synthesis(run, how=how)
        elif not strong:
            lost.append("escalate: the strong round gave no draft")
            chosen = Decision(cheap, Shown(texts_of(cheap)), how=how)
        elif self.options.verbatim:
            chosen = self.verbatim(run, _medoid(strong), how=how)
        else:
            chosen = Decision(strong, Shown(texts_of(strong)), how=how)
        return replace(chosen, degraded=lost)


def _said(run: Run, layer: int) -> Note | None:
    return next(iter(notes_of(run.state, "check", layer)), None)


def _medoid(drafts: list[Draft]) -> Draft:
    return drafts[compare(texts_of(drafts)).medoid or 0]


def _yes_or_no(text: str) -> dict[str, Any] | None:
    """Read {"answer": "yes"}, or a reply that begins with the word and a mark after it."""
    given = next((value.get("answer") for value in json_objects(text)), text)
    word = _WORD.match(str(given).strip())
    return {"answer": "yes" if word[1].lower() in ("yes", "true") else "no"} if word else None
