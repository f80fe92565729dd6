"""FLASK from instructions to reviews: one answer, one review of the item's own skills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row
from moa_graph.evals.engine import Done
from moa_graph.evals.flask import scores as flask
from moa_graph.evals.judge import Judge
from moa_graph.evals.mt_bench.run import fill
from moa_graph.evals.systems.mixture import Ask, System

OUTPUTS, REVIEWS = "outputs.jsonl", "reviews.jsonl"
ITEMS, HARD = "flask/flask_evaluation.jsonl", "flask/flask_hard_evaluation.jsonl"
PROMPTS, RUBRICS = "flask/prompt.jsonl", "flask/skillset_description.json"
WITH_ANSWER = 2
# The original's temperature 0 and length stand outside its request and are never sent; here they are.
PARAMETERS = {"temperature": 0.0, "max_tokens": 1024}


@dataclass(frozen=True)
class Flask:
    """The work of one item: `prompt` is FLASK's prompt with a reference answer, `rubrics` its text by skill."""

    system: System
    judge: Judge | None
    prompt: Row
    rubrics: Mapping[str, str]
    temperature: float | None = None
    max_tokens: int | None = None

    async def work(self, item: flask.Item, done: Done) -> None:
        """Answer and review one item."""
        keys = (str(item.idx), item.instruction)
        ask = Ask(str(item.idx), keys, [("user", item.instruction)], 0, self.temperature, self.max_tokens)
        answer = await self.system.answer(ask)
        done.answered(answer)
        if answer.text is None:
            return
        done.rows[OUTPUTS] = [{"idx": item.idx, "text": answer.text, "model_id": self.system.name}]
        if self.judge:
            await self._review(item, answer.text, done)

    async def _review(self, item: flask.Item, text: str, done: Done) -> None:
        assert self.judge is not None
        template = self.prompt["prompt_template"]
        values = {
            **self.prompt["defaults"],
            "skills": "".join(self.rubrics[skill] for skill in item.skills),
            "question": item.instruction,
            "sample_answer": item.answer,
            "response": text,
        }
        turns = [("system", self.prompt["system_prompt"]), ("user", fill(template, values))]
        reply = await self.judge.ask(turns, item=str(item.idx))
        done.judging.add(reply)
        if not reply.counts and reply.status != "empty":
            done.failures.append(f"judge: {reply.error}")
            return
        done.rows[REVIEWS] = [
            {
                "idx": item.idx,
                "model_id": self.system.name,
                "skill": list(item.skills),
                "review": reply.text,
                "score": flask.parse(reply.text, item.skills),
                "judge_record": self.judge.record(self.prompt["system_prompt"] + template, reply),
            }
        ]


def prompt(rows: Sequence[Row]) -> Row:
    """The prompt that shows the judge a reference answer. Raises InputError when the file lacks it."""
    for row in rows:
        if row.get("prompt_id") == WITH_ANSWER:
            return row
    raise InputError(f"FLASK's prompt {WITH_ANSWER} is not in its file")


def rubrics(rows: Sequence[Row]) -> dict[str, str]:
    """The text that explains each skill and its five scores to the judge."""
    return {row["Skill"]: _rubric(row) for row in rows}


def _rubric(row: Row) -> str:
    scores = "".join(f"\nScore {n}: {row['Scoring'][str(n)]}" for n in range(1, 6))
    return f"\n{row['Skill']}: {row['Criteria']}{scores}\n\n"


def reviews(rows: Sequence[Row], items: Sequence[flask.Item]) -> list[flask.Review]:
    """Recorded reviews, each of its item's own skills. Raises InputError for an unknown idx."""
    by_idx = {item.idx: item for item in items}
    found = []
    for number, row in enumerate(rows, 1):
        idx = flask.item_id(row, f"review {number}")
        if idx not in by_idx:
            raise InputError(f"review {number}: no item has idx {idx}")
        found.append(flask.review(row, f"review {number}", by_idx[idx].skills))
    return found
