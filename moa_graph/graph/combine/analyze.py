"""`analyze`: an analyst compares the drafts; the aggregator writes with the comparison at hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig

from moa_graph.graph.combine.base import Combiner, Decision, NodeWork, Step, latest_drafts, notes_of, texts_of
from moa_graph.graph.combine.calls import call
from moa_graph.graph.runs import Run
from moa_graph.graph.slot import Shown, note_part
from moa_graph.mixture.answers import draft_number, json_objects
from moa_graph.mixture.combiners import Analyze as Options
from moa_graph.mixture.mixture import Mixture
from moa_graph.state import Draft, Note, counted

__all__ = ["Analyze"]

NODE = "analyst"

COMPARE = (
    "Several assistants, who do not see each other, have each drafted a reply to the conversation above. Their drafts "
    "follow, numbered. Compare them; do not merge them and do not reply to the conversation yourself.\n"
    "Answer with one JSON object and nothing else:\n"
    '{"consensus": [what all drafts say], '
    '"contradictions": [{"topic": "...", "stances": [{"model": 1, "stance": "what draft 1 says"}]}], '
    '"partial_coverage": [{"models": [1, 2], "point": "what only these drafts cover"}], '
    '"unique_insights": [{"model": 1, "insight": "what only draft 1 says and the reply should keep"}], '
    '"blind_spots": [what the reply needs and no draft has]}\n'
    'Use the drafts\' numbers for "model". Leave a list empty when there is nothing to say.'
)

REPLY = (
    "Several assistants, who do not see each other, have each drafted a reply to the conversation above. Their "
    "drafts follow, and then a comparison of them by number.\n"
    "Write the one best reply to the latest message of the conversation. What all drafts say can still be wrong, "
    "and a single dissenter can be right: check both against what you know. Settle every contradiction, or say "
    "openly that it is not settled. Fill the blind spots. Do not mention the drafts, the comparison or the "
    "boundaries."
)

REPORT = (
    "Several assistants, who do not see each other, have each drafted a reply to the conversation above. Their drafts "
    "follow, and then a comparison of them by number.\n"
    "Write a report for the person who asked, with four short parts: what the drafts agree on; where they differ and "
    "why; what only one of them found; and your recommendation with how sure you are (low, medium or high) and what "
    'would change it. Agreement is not proof. Speak of the drafts as "the models"; do not mention the boundaries.'
)


class Analyze(Combiner[Options]):
    """Analyst, then writer. Whatever goes wrong with the analyst, the writer gets what `synthesize` sends."""

    def nodes(self, mixture: Mixture) -> Mapping[str, NodeWork]:
        return {NODE: self._analyze}

    def after(self, run: Run) -> Step:
        layer = run.state["layer"]
        if NODE in run.state["next"] or len(counted(run.state["drafts"], layer)) < 2:
            return super().after(run)
        return Step(layer, [NODE])

    async def _analyze(self, run: Run, config: RunnableConfig) -> list[Note]:
        layer = run.state["layer"]
        drafts = counted(run.state["drafts"], layer)
        note = await call(
            run, config, self.options.analyst or run.settings.aggregator, Shown(texts_of(drafts), instruction=COMPARE),
            lambda text: _read(text, drafts), role="analyst", kind="analysis", by=NODE, layer=layer,
        )  # fmt: skip
        return [note]

    def decide(self, run: Run) -> Decision:
        drafts = latest_drafts(run)
        note = next(iter(notes_of(run.state, "analysis", run.state["layer"] - 1)), None)
        if note is None or note["data"] is None:
            if len(drafts) < 2:
                return self.synthesis(run, how={"analysis": None})
            reason = note["error"] if note else "it was not called"
            return self.synthesis(run, how={"analysis": None}, degraded=f"{NODE}: {reason}")
        how = {"analysis": note["data"]}
        if self.options.answer == "none" and not run.settings.must_write:
            text = json.dumps(note["data"], ensure_ascii=False, indent=2)
            return Decision(drafts, Shown(texts_of(drafts)), text=text, how=how)
        instruction = REPORT if self.options.answer == "report" else REPLY
        notes = [note_part("comparison", _numbered(note["data"], drafts))]
        return Decision(drafts, Shown(texts_of(drafts), instruction=instruction, notes=notes), how=how)


def _read(text: str, drafts: Sequence[Draft]) -> dict[str, Any] | None:
    """Read the comparison; drafts' numbers become proposers' names. None unless one list at least has a valid entry."""
    for value in json_objects(text):
        if found := _analysis(value, drafts):
            return found
    return None


def _analysis(value: Mapping[str, Any], drafts: Sequence[Draft]) -> dict[str, Any] | None:
    fields = ("consensus", "contradictions", "partial_coverage", "unique_insights", "blind_spots")
    if not any(isinstance(value.get(name), list) for name in fields):
        return None
    lists = {name: value[name] if isinstance(value.get(name), list) else [] for name in fields}

    def name(given: object) -> str | None:
        number = draft_number(given)
        return drafts[number - 1]["proposer"] if number is not None and 1 <= number <= len(drafts) else None

    def names(numbers: object) -> list[str]:
        return [who for number in (numbers if isinstance(numbers, list) else [numbers]) if (who := name(number))]

    def entries(field: str) -> list[Mapping[str, Any]]:
        return [each for each in lists[field] if isinstance(each, Mapping)]

    found: dict[str, list[Any]] = {
        "consensus": [each for each in lists["consensus"] if isinstance(each, str)],
        "contradictions": [
            {
                "topic": each["topic"],
                "stances": [
                    {"model": who, "stance": stance["stance"]}
                    for stance in each["stances"]
                    if isinstance(stance, Mapping) and isinstance(stance.get("stance"), str)
                    if (who := name(stance.get("model")))
                ],
            }
            for each in entries("contradictions")
            if isinstance(each.get("topic"), str) and isinstance(each.get("stances"), list)
        ],
        "partial_coverage": [
            {"models": names(each.get("models")), "point": each["point"]}
            for each in entries("partial_coverage")
            if isinstance(each.get("point"), str)
        ],
        "unique_insights": [
            {"model": who, "insight": each["insight"]}
            for each in entries("unique_insights")
            if isinstance(each.get("insight"), str)
            if (who := name(each.get("model")))
        ],
        "blind_spots": [each for each in lists["blind_spots"] if isinstance(each, str)],
    }
    return found if any(found.values()) else None


def _numbered(analysis: Mapping[str, Any], drafts: Sequence[Draft]) -> str:
    """Return the analysis as the writer is shown it: with the drafts' numbers, so that no model is named."""
    numbers = {draft["proposer"]: number for number, draft in enumerate(drafts, start=1)}

    def back(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {name: back(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [back(each, key) for each in value]
        return numbers.get(value, value) if key in ("model", "models") else value

    return json.dumps(back(analysis), ensure_ascii=False)
