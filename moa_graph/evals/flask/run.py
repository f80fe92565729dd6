"""FLASK from instructions to reviews: one answer, and one review by the item's own skills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row
from moa_graph.evals.engine import ItemOutcome, at_once
from moa_graph.evals.flask import scores as flask
from moa_graph.evals.judge import Judge, fill
from moa_graph.evals.jury import name_of, rating
from moa_graph.evals.systems.mixture import System, SystemRequest

OUTPUTS, REVIEWS = "outputs.jsonl", "reviews.jsonl"
ITEMS, HARD = "flask/flask_evaluation.jsonl", "flask/flask_hard_evaluation.jsonl"
PROMPTS, RUBRICS = "flask/prompt.jsonl", "flask/skillset_description.json"
WITH_ANSWER = 2
HARD_ITEMS = 89
# The original sets temperature 0 and a length outside of its request, so they are never sent. Here they are sent.
PARAMETERS = {"temperature": 0.0, "max_tokens": 1024}


@dataclass(frozen=True)
class Flask:
    """The work of one item.

    Attributes:
        system: The measured system.
        judges: The judges; empty to generate only.
        prompt: FLASK's prompt with a reference answer.
        rubrics: The text that explains each skill.
        temperature: Replaces the system's sampling temperature.
        max_tokens: Replaces the system's limit of answer tokens.
        keys: Numbers by which recorded outputs may name an item, by its number in this set.
        majority: Whether a jury decides by the median of its ratings, not by their mean.
    """

    system: System
    judges: Sequence[Judge]
    prompt: Row
    rubrics: Mapping[str, str]
    temperature: float | None = None
    max_tokens: int | None = None
    keys: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    majority: bool = False

    async def work(self, item: flask.FlaskItem, done: ItemOutcome) -> None:
        """Answer and review one item."""
        keys = (item.instruction, *self.keys.get(item.idx, (str(item.idx),)))
        ask = SystemRequest(str(item.idx), keys, [("user", item.instruction)], 0, self.temperature, self.max_tokens)
        answer = await self.system.answer(ask)
        done.answered(answer, ask)
        if answer.text is None:
            return
        row = {"idx": item.idx, "set": item.set, "instruction": item.instruction, "text": answer.text}
        done.rows[OUTPUTS] = [{**row, "model_id": self.system.name}]
        if self.judges:
            await self._review(item, answer.text, done)

    async def _review(self, item: flask.FlaskItem, text: str, done: ItemOutcome) -> None:
        template = self.prompt["prompt_template"]
        values = {
            **self.prompt["defaults"],
            "skills": "".join(self.rubrics[skill] for skill in item.skills),
            "question": item.instruction,
            "sample_answer": item.answer,
            "response": text,
        }
        turns = [("system", self.prompt["system_prompt"]), ("user", fill(template, values))]
        reviews = await at_once(done, [partial(self._reviewed, judge, item, turns) for judge in self.judges])
        members = [review for review in reviews if review is not None]
        if not members:
            return
        verdict = members[0] if len(self.judges) == 1 else self._jury(members)
        row = {"idx": item.idx, "set": item.set, "model_id": self.system.name, "skill": list(item.skills)}
        done.rows[REVIEWS] = [{**row, **verdict}]

    async def _reviewed(
        self, judge: Judge, item: flask.FlaskItem, turns: Sequence[tuple[str, str]], done: ItemOutcome
    ) -> Row | None:
        """Return one judge's review; None if the call failed."""
        reply = await judge.ask(
            turns, item=str(item.idx), readable=lambda reply: flask.parse(reply.text, item.skills) is not None
        )
        if not done.judged(judge.name, reply):
            return None
        own = {"review": reply.text, "score": flask.parse(reply.text, item.skills)}
        done.unreadable += own["score"] is None
        sent = self.prompt["system_prompt"] + self.prompt["prompt_template"]
        return {**own, "judge_record": judge.record(sent, reply)}

    def _jury(self, members: Sequence[Row]) -> Row:
        """Return the scores of several judges as one review, with each member's own."""
        read = [member["score"] for member in members if member["score"] is not None]
        skills = dict.fromkeys(skill for scores in read for skill in scores)
        found = {}
        for skill in skills:
            known = [scores[skill] for scores in read if scores.get(skill) is not None]
            found[skill] = rating(known, majority=self.majority)
        model = name_of([judge.name for judge in self.judges])
        # The text ends with a dictionary as a judge's does, so that the row is read like any other.
        return {
            "review": repr(found) if read else "\n\n".join(member["review"] for member in members),
            "score": found if read else None,
            "judge_record": {"model": model},
            "jury": list(members),
        }


def prompt(rows: Sequence[Row]) -> Row:
    """Return the prompt that shows the judge a reference answer.

    Raises:
        InputError: The file lacks it.
    """
    for row in rows:
        if row.get("prompt_id") == WITH_ANSWER:
            return row
    raise InputError(f"FLASK's prompt {WITH_ANSWER} is not in its file")


def rubrics(rows: Sequence[Row]) -> dict[str, str]:
    """Return the text that explains each skill and its five scores to the judge."""
    return {row["Skill"]: _rubric(row) for row in rows}


def _rubric(row: Row) -> str:
    scores = "".join(f"\nScore {n}: {row['Scoring'][str(n)]}" for n in range(1, 6))
    return f"\n{row['Skill']}: {row['Criteria']}{scores}\n\n"
