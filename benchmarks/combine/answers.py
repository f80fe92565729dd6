"""Votes and escalation on recorded final answers."""

import random
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.combine.models import recorded, sampler
from benchmarks.combine.sets import AnswerRow, AnswerSet
from moa_graph import Mixture, create_moa
from moa_graph.graph.combine.vote import Vote
from moa_graph.graph.runs import Live, Run
from moa_graph.mixture.answers import AnswerReader, key
from moa_graph.mixture.combiners import Vote as Options
from moa_graph.mixture.context import settings
from moa_graph.mixture.equal_answers import normalized
from moa_graph.state import Draft, Note

LAST_LINE = AnswerReader(read="last_line")
CAP = 40
"""Answers at most of the vote that stops when it is sure."""

SMALL = 50
"""Problems up to which every vote is also run through the graph."""


class Counted(NamedTuple):
    """The outcome of a vote: the winner, how many answers were used, and whether the full count has that winner."""

    winner: str
    used: int
    same: bool


async def answers_table(answers: AnswerSet) -> dict[str, Any]:
    """Return the rows of one set, and what was checked on the way."""
    table, differs = list[dict[str, Any]](), Counter[str]()
    for model, rows in answers.models.items():
        one = [row.right / row.given for row in rows]
        table.append(_row(model, "one answer", one, [1] * len(rows), rows))
        votes = [await _votes(row) for row in rows]
        for name in ("vote on all", "vote until decided", "vote until sure"):
            mine = [each[name] for each in votes]
            right = [float(v.winner in full_count(row.gold)) for v, row in zip(mine, rows, strict=True)]
            table.append(_row(model, name, right, [vote.used for vote in mine], rows))
        differs["votes"] += len(votes)
        differs["vote_differs_from_count"] += sum(not each["vote on all"].same for each in votes)
        differs["early_stop_differs_from_full_vote"] += sum(not each["vote until decided"].same for each in votes)
    through, wrong = await _through_the_graph(answers)
    checks = {**differs, "votes_through_the_graph": through, "graph_differs_from_count": wrong}
    if len(answers.models) > 2 and (common := _common(answers)):
        escalated, checked = await _escalation(answers, *common)
        table.append(escalated)
        checks |= checked
    return {"problems": len(next(iter(answers.models.values()))), "table": table, "checks": checks}


async def _votes(row: AnswerRow) -> dict[str, Counted]:
    """Return the three votes on one problem; without any answer there is no winner."""
    if not row.answers:
        return dict.fromkeys(("vote on all", "vote until decided", "vote until sure"), Counted("", row.given, True))
    order = random.Random(row.id).sample(row.answers, min(len(row.answers), CAP))
    return {
        "vote on all": await counted(row.answers, stop=False),
        "vote until decided": await counted(row.answers),
        "vote until sure": await counted(order, sure=0.95),
    }


def _row(
    model: str, name: str, right: Sequence[float], calls: Sequence[int], rows: Sequence[AnswerRow]
) -> dict[str, Any]:
    means = [statistics.fmean(row.tokens) * many for row, many in zip(rows, calls, strict=True) if row.tokens]
    return {
        "model": model,
        "combiner": name,
        "accuracy": round(100 * statistics.fmean(right), 2),
        "calls": round(statistics.fmean(calls), 2),
        "tokens": round(statistics.fmean(means)) if means else None,
    }


async def _through_the_graph(answers: AnswerSet) -> tuple[int, int]:
    """Vote on all answers in the graph; return how many votes there were and how many differ from the raw count.

    Every vote of a small set, every 25th problem of a large one. Answers are compared as they are written.
    """
    votes, wrong, reader = 0, 0, AnswerReader(read="last_line", normalize=False)
    for model, rows in answers.models.items():
        chosen = [row for row in rows[:: 1 if len(rows) <= SMALL else 25] if row.answers]
        graphs = {
            many: voting(chosen, model, many, stop=False, answer=reader)
            for many in {len(row.answers) for row in chosen}
        }
        for row in chosen:
            decision = (await graphs[len(row.answers)].ainvoke({"messages": row.id}))["record"]["decision"]
            raw = Counter(key(answer, reader) for answer in row.answers)
            votes += 1
            wrong += {each: int(n) for each, n in decision["counts"].items()} != dict(raw) or (
                raw[decision["answer"]] != max(raw.values())
            )
    return votes, wrong


def _common(answers: AnswerSet) -> tuple[str, list[str], list[str]] | None:
    """Return the best model, the next two, and the problems that all three have answered."""
    share = {model: statistics.fmean(row.right / row.given for row in rows) for model, rows in answers.models.items()}
    best, *others = sorted(share, key=lambda model: -share[model])
    answered = [{row.id for row in answers.models[model] if row.answers} for model in (best, *others[:2])]
    common = [row.id for row in answers.models[best] if all(row.id in each for each in answered)]
    return (best, others[:2], common) if common else None


async def _escalation(
    answers: AnswerSet, best: str, cheap: Sequence[str], common: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two models, and the best one where their answers differ, against a vote of the three."""
    by_id = {model: {row.id: row for row in answers.models[model]} for model in (best, *cheap)}
    graph = create_moa(
        proposers=[sampler(answers.models[model], model) for model in cheap],
        aggregator=recorded("none", lambda messages: "none"),
        combine={"name": "escalate", "strong": [sampler(answers.models[best], best)], "answer": LAST_LINE},
    )
    given: Any = [{"messages": each} for each in common]
    results = await graph.abatch(given, config={"max_concurrency": 20})
    right, differs, strong, tokens = [], 0, 0, []
    for question, result in zip(common, results, strict=True):
        rows = [by_id[model][question] for model in (*cheap, best)]
        answer = normalized(str(result["messages"][-1].content))
        differs += answer != normalized(vote_of_three(*(row.answers[0] for row in rows)))
        escalated = result["record"]["decision"]["escalated"]
        strong += escalated
        used = rows if escalated else rows[:2]
        tokens.append(sum(statistics.fmean(row.tokens) for row in used if row.tokens))
        right.append(float(answer in full_count(rows[2].gold)))
    row = {
        "model": f"{' and '.join(cheap)}, then {best}",
        "combiner": "escalate",
        "accuracy": round(100 * statistics.fmean(right), 2),
        "calls": round(2 + strong / len(common), 2),
        "tokens": round(statistics.fmean(tokens)) or None,
    }
    checks = {"escalations": len(common), "strong_share": round(strong / len(common), 4)}
    return row, {**checks, "escalation_differs_from_vote_of_three": differs}


def voting(rows: Sequence[AnswerRow], name: str, slots: int, **options: Any) -> Any:
    """The graph of a vote over `slots` answers of one model; more than 64 are split over several proposers."""
    model = sampler(rows, name)
    parts = [min(64, slots - start) for start in range(0, slots, 64)]
    proposers = [{"model": model, "samples": part, "name": f"part {n}"} for n, part in enumerate(parts)]
    combine = {"name": "vote", "answer": LAST_LINE, **options}
    return create_moa(proposers=proposers, aggregator=recorded("none", lambda m: "none"), combine=combine)


def full_count(answers: Sequence[str]) -> Counter[str]:
    """The votes, counted without the package."""
    return Counter(answer for answer in map(normalized, answers) if answer)


async def counted(answers: Sequence[str], **options: Any) -> Counted:
    """A vote in which the answers come one after the other, by the combiner's own functions."""
    vote = Vote(Options(answer=LAST_LINE, **options))
    run = _run(len(answers), vote.options)
    names = run.settings.rounds[0]
    notes: list[Note] = []
    for slot, answer in enumerate(answers):
        note = await vote.read(run, _draft(slot, names[slot], answer))
        notes += [note] if note else []
        if vote.closes(run, notes):
            break
    drafts = [_draft(slot, names[slot], answers[slot]) for slot in range(len(notes))]
    ended: Any = {**run.state, "layer": 2, "drafts": drafts, "notes": notes}
    decision = vote.decide(Run(run.settings, ended, run.live))
    winner = str(decision.how["answer"])
    full = full_count(answers)
    return Counted(winner, len(notes), full[winner] == max(full.values()))


_SHAPES: dict[int, Mixture] = {}


def _run(slots: int, options: Options) -> Run:
    if slots not in _SHAPES:
        parts = [min(64, slots - start) for start in range(0, slots, 64)]
        models = [{"model": "openai:m", "samples": part, "name": f"part {n}"} for n, part in enumerate(parts)]
        _SHAPES[slots] = Mixture(proposers=models, aggregator="openai:m", combine=options)
    state: Any = {"messages": [], "drafts": [], "notes": [], "layer": 1, "next": []}
    return Run(settings(_SHAPES[slots], None), state, Live(1))


def _draft(slot: int, name: str, text: str) -> Draft:
    return Draft(
        layer=1, slot=slot, proposer=name, model="m", status="ok", text=text, error=None, usage=None, cost=0.0,
        seconds=0.0, first_token_seconds=None, attempts=1,
    )  # fmt: skip


def vote_of_three(one: str, two: str, strong: str) -> str:
    """The winner of three votes, the strong model's where all differ."""
    first, second = key(one) or "", key(two) or ""
    return first if first == second else key(strong) or ""
