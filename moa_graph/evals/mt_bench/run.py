"""MT-Bench from questions to judgments: two turns through the system, then a rating of each.

Files are in FastChat's formats, with one row per question (and turn) even if a run is repeated. Their `tstamp` is 0,
because a time would change the bytes of the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row
from moa_graph.evals.engine import ItemOutcome, at_once
from moa_graph.evals.judge import Judge, JudgeReply, fill
from moa_graph.evals.jury import most_frequent, name_of, rating
from moa_graph.evals.mt_bench import pairs
from moa_graph.evals.mt_bench import scores as mt_bench
from moa_graph.evals.systems.mixture import System, SystemRequest
from moa_graph.evals.systems.recorded import RecordedOutputs

ANSWERS, JUDGMENTS, PAIRS = "answers", "judgments", "pairs"
PROMPTS = "mt_bench/judge_prompts.jsonl"
REFERENCES = "mt_bench/reference_answer_gpt-4.jsonl"
PARAMETERS = {"temperature": 0.0, "max_tokens": 2048}


@dataclass(frozen=True)
class MTBenchQuestion:
    """A question of two turns. `reference` has the reference answers of both turns if the category needs them."""

    id: int | str
    category: str
    turns: tuple[str, ...]
    reference: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        return str(self.id)


def questions(rows: Sequence[Row], references: Sequence[Row]) -> list[MTBenchQuestion]:
    """Return the questions with their reference answers.

    Raises:
        InputError: A category that needs a reference answer lacks one.
    """
    answers = {row["question_id"]: tuple(row["choices"][0]["turns"]) for row in references}
    found = []
    for row in rows:
        needed = row["category"] in mt_bench.REFERENCE_CATEGORIES
        if needed and row["question_id"] not in answers:
            raise InputError(f"question {row['question_id']} ({row['category']}) has no reference answer")
        reference = answers[row["question_id"]] if needed else None
        found.append(MTBenchQuestion(row["question_id"], row["category"], tuple(row["turns"]), reference))
    return found


@dataclass(frozen=True)
class MTBench:
    """The work of one question. `prompts` are FastChat's judge prompts by name; `other` is for pairwise judging."""

    system: System
    judges: Sequence[Judge] = ()
    prompts: Mapping[str, Row] = field(default_factory=dict)
    other: RecordedOutputs | None = None
    other_name: str = ""
    max_tokens: int | None = None
    majority: bool = False

    async def work(self, question: MTBenchQuestion, done: ItemOutcome) -> None:
        """Answer both turns, then judge them."""
        texts = await self._answers(question, done)
        if texts is None:
            return
        done.rows[ANSWERS] = [answer_row(question, self.system.name, texts)]
        if self.judges:
            verdicts = (self._rate, self._compare) if self.other else (self._rate,)
            parts = [partial(judge, question, texts, turn) for turn in range(len(texts)) for judge in verdicts]
            await at_once(done, parts)

    async def _answers(self, question: MTBenchQuestion, done: ItemOutcome) -> list[str] | None:
        """Return the system's answers. Only answers, never drafts, enter the history of the second turn."""
        history: list[tuple[str, str]] = []
        texts: list[str] = []
        warmth = mt_bench.temperature(question.category)
        for turn, text in enumerate(question.turns):
            history.append(("user", text))
            item = f"{question.name}/{turn + 1}"
            ask = SystemRequest(item, (question.name, question.turns[0]), tuple(history), turn, warmth, self.max_tokens)
            answer = await self.system.answer(ask)
            done.answered(answer, ask)
            if answer.text is None:
                return None
            history.append(("assistant", answer.text))
            texts.append(answer.text)
        return texts

    async def _rate(self, question: MTBenchQuestion, texts: Sequence[str], turn: int, done: ItemOutcome) -> None:
        name = ("single-math-v1" if question.reference else "single-v1") + ("-multi-turn" if turn else "")
        prompt = self.prompts[name]
        filled = fill(prompt["prompt_template"], _fields(question, turn) | _own(texts, turn))
        turns = [("system", prompt["system_prompt"]), ("user", filled)]
        found = await at_once(done, [partial(self._rated, judge, question, turn, turns, name) for judge in self.judges])
        members = [member for member in found if member is not None]
        if not members:
            return
        verdict = members[0] if len(self.judges) == 1 else self._jury(name, members)
        done.rows.setdefault(JUDGMENTS, []).append(
            {
                "question_id": question.id,
                "model": self.system.name,
                "judge": verdict["judge"],
                "user_prompt": filled,
                "judgment": verdict["judgment"],
                "score": verdict["score"],
                "turn": turn + 1,
                "tstamp": 0,
                **{key: verdict[key] for key in ("judge_record", "jury") if key in verdict},
            }
        )

    async def _rated(
        self,
        judge: Judge,
        question: MTBenchQuestion,
        turn: int,
        turns: Sequence[tuple[str, str]],
        name: str,
        done: ItemOutcome,
    ) -> Row | None:
        """Return one judge's rating by the prompt `name`; None if the call failed."""
        reply = await judge.ask(
            turns,
            item=question.name,
            slot=turn + 1,
            readable=lambda reply: mt_bench.rating(reply.text) != mt_bench.FAILED,
        )
        if not done.judged(judge.name, reply):
            return None
        prompt = self.prompts[name]
        record = judge.record(prompt["system_prompt"] + prompt["prompt_template"], reply)
        own = {"judgment": reply.text, "score": mt_bench.rating(reply.text)}
        done.unreadable += own["score"] == mt_bench.FAILED
        return {"judge": [judge.name, name], **own, "judge_record": record}

    def _jury(self, prompt: str, members: Sequence[Row]) -> Row:
        """Return the rating of several judges as one, with each member's own."""
        read = [member["score"] for member in members if member["score"] != mt_bench.FAILED]
        score = rating(read, majority=self.majority)
        return {
            "judge": [name_of([judge.name for judge in self.judges]), prompt],
            "judgment": "\n\n".join(member["judgment"] for member in members),
            "score": mt_bench.FAILED if score is None else score,
            "jury": list(members),
        }

    async def _compare(self, question: MTBenchQuestion, texts: Sequence[str], turn: int, done: ItemOutcome) -> None:
        """Judge against the other system's recorded answers in both orders. A win needs the same winner in both."""
        assert self.other is not None
        theirs = self.other.turns.get(question.name)
        if theirs is None or len(theirs) <= turn:
            done.failures.append(f"pairwise: {self.other.path.name} has no answer to question {question.name}")
            return
        name = ("pair-math-v1" if question.reference else "pair-v2") + ("-multi-turn" if turn else "")
        prompt = self.prompts[name]
        orders = ((texts, theirs), (theirs, texts))
        filled = [fill(prompt["prompt_template"], _fields(question, turn) | _pair(a, b, turn)) for a, b in orders]
        games = [partial(self._games, judge, question, turn, prompt, filled) for judge in self.judges]
        members = await at_once(done, games)
        found = [member for member in members if member is not None]
        if not found:
            return
        verdict = found[0] if len(self.judges) == 1 else self._jury_games(name, found)
        sides = {"question_id": question.id, "model_1": self.system.name, "model_2": self.other_name}
        shown = {"g1_user_prompt": filled[0], "g2_user_prompt": filled[1]}
        end = {"winner": _over_both(verdict), "turn": turn + 1, "tstamp": 0}
        done.rows.setdefault(PAIRS, []).append({**sides, **verdict, **shown, **end})

    async def _games(
        self,
        judge: Judge,
        question: MTBenchQuestion,
        turn: int,
        prompt: Row,
        filled: Sequence[str],
        done: ItemOutcome,
    ) -> Row | None:
        """Return one judge's verdicts in both orders; None if a call failed."""
        turns = [[("system", prompt["system_prompt"]), ("user", text)] for text in filled]
        games = [partial(self._game, judge, question, sent, 10 + 2 * turn + game) for game, sent in enumerate(turns)]
        first, second = await at_once(done, games)
        if first is None or second is None:
            return None
        return {
            "g1_winner": _winner(pairs.verdict(first.text), swapped=False),
            "g2_winner": _winner(pairs.verdict(second.text), swapped=True),
            "judge": [judge.name, prompt["name"]],
            "g1_judgment": first.text,
            "g2_judgment": second.text,
            "judge_record": judge.record(prompt["system_prompt"] + prompt["prompt_template"], first),
        }

    async def _game(
        self, judge: Judge, question: MTBenchQuestion, turns: Sequence[tuple[str, str]], slot: int, done: ItemOutcome
    ) -> JudgeReply | None:
        """Return one judge's verdict in one order; None if the call failed."""
        reply = await judge.ask(
            turns,
            item=question.name,
            slot=slot,
            role="judge pair",
            readable=lambda reply: pairs.verdict(reply.text) is not None,
        )
        if not done.judged(judge.name, reply):
            return None
        done.unreadable += pairs.verdict(reply.text) is None
        return reply

    def _jury_games(self, prompt: str, members: Sequence[Row]) -> Row:
        """Return the jury's winner of each game."""
        games = {
            name: _together([member[name] for member in members], majority=self.majority)
            for name in ("g1_winner", "g2_winner")
        }
        return {**games, "judge": [name_of([judge.name for judge in self.judges]), prompt], "jury": list(members)}


def answer_row(question: MTBenchQuestion, model: str, texts: Sequence[str]) -> Row:
    """Return FastChat's answer row; its id is a hash of the identifying fields."""
    digest = hashlib.sha256("\0".join([str(question.id), model, *texts]).encode()).hexdigest()
    return {
        "question_id": question.id,
        "answer_id": digest[:22],
        "model_id": model,
        "choices": [{"index": 0, "turns": list(texts)}],
        "tstamp": 0,
    }


def _fields(question: MTBenchQuestion, turn: int) -> dict[str, str]:
    fields = {f"question_{n}": text for n, text in enumerate(question.turns, 1)}
    fields |= {f"ref_answer_{n}": text for n, text in enumerate(question.reference or (), 1)}
    return fields if turn else {"question": question.turns[0], **fields}


def _own(texts: Sequence[str], turn: int) -> dict[str, str]:
    return {f"answer_{n}": text for n, text in enumerate(texts, 1)} if turn else {"answer": texts[0]}


def _pair(a: Sequence[str], b: Sequence[str], turn: int) -> dict[str, str]:
    if not turn:
        return {"answer_a": a[0], "answer_b": b[0]}
    sides = (("a", a), ("b", b))
    return {f"answer_{side}_{n}": text for side, texts in sides for n, text in enumerate(texts, 1)}


def _winner(verdict: str | None, *, swapped: bool) -> str:
    names = {"A": "model_2" if swapped else "model_1", "B": "model_1" if swapped else "model_2", "C": "tie"}
    return names[verdict] if verdict else "error"


def _over_both(verdict: Row) -> str:
    """Return the winner over both orders as FastChat writes it."""
    games = (verdict["g1_winner"], verdict["g2_winner"])
    return pairs.winner_of([None if game == "error" else game for game in games]) or "error"


def _together(winners: Sequence[str], *, majority: bool) -> str:
    """Return a jury's winner of a game: by its mean, the side with more votes. "error" if none could be read."""
    read = [winner for winner in winners if winner != "error"]
    if not read:
        return "error"
    if majority:
        return most_frequent(read, tie="tie")
    lean = read.count("model_1") - read.count("model_2")
    return "model_1" if lean > 0 else "model_2" if lean < 0 else "tie"
