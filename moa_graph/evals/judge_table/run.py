"""Judge models asked about pairs that humans voted on, with AlpacaEval's prompt.

Each judge sees a pair in both orders (or in one order by the seed), once for each run. Verdicts are written into one
file per judge, in the form that `moa eval judge --judge` reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from moa_graph.evals.alpaca_eval import judge as weighted
from moa_graph.evals.alpaca_eval.run import TEMPLATE, merged, readable, share_of
from moa_graph.evals.alpaca_eval.scores import position_figures, position_warning
from moa_graph.evals.benchmarks import Setup, weighing
from moa_graph.evals.data.files import Row, read_rows, slug
from moa_graph.evals.engine import ItemOutcome, at_once, choose
from moa_graph.evals.figures import Figures
from moa_graph.evals.judge import Judge
from moa_graph.evals.judge_table import votes
from moa_graph.evals.judge_table.figures import agreement_figures, judge_figures
from moa_graph.evals.session import Benchmark


@dataclass(frozen=True)
class JudgedPair:
    """A pair as a judge sees it. `id` names it in the ledger and in `--ids`."""

    id: str
    pair: votes.Pair

    @property
    def instruction(self) -> str:
        return self.pair.instruction


@dataclass(frozen=True)
class JudgePairs:
    """The work of one pair.

    Attributes:
        judges: The judges to ask.
        template: AlpacaEval's prompt.
        runs: How often each judge is asked about a pair; bias and variance need several runs.
        both_orders: Whether each run shows the pair in both orders.
        seed: Seed of the order if there is one; run k uses the seed plus k.
    """

    judges: Sequence[Judge]
    template: str
    runs: int = 1
    both_orders: bool = True
    seed: int = 0

    async def work(self, item: JudgedPair, done: ItemOutcome) -> None:
        """Ask every judge about one pair."""
        each = [(judge, run) for judge in self.judges for run in range(self.runs)]
        await at_once(done, [partial(self._run, judge, item, run) for judge, run in each])
        done.answers += bool(done.rows)

    async def _run(self, judge: Judge, item: JudgedPair, run: int, done: ItemOutcome) -> None:
        pair = item.pair
        seeded = weighted.switched(pair.instruction, self.seed + run)
        verdicts = []
        for switched in (False, True) if self.both_orders else (seeded,):
            first, second = (pair.output_2, pair.output_1) if switched else (pair.output_1, pair.output_2)
            turns = weighted.messages(self.template, instruction=pair.instruction, first=first, second=second)
            reply = await judge.ask(turns, item=item.id, slot=2 * run + int(switched), readable=readable)
            if not done.judged(judge.name, reply):
                return
            share = share_of(reply)
            done.unreadable += share is None
            verdicts.append(
                {
                    "preference": weighted.preference(share, switched=switched),
                    "price": reply.cost,
                    "is_switched": switched,
                    "first_share": share,
                    "judge": judge.record(self.template, reply),
                    "raw_completion": {"text": reply.text},
                }
            )
        texts = {"instruction": pair.instruction, "output_1": pair.output_1, "output_2": pair.output_2}
        # PandaLM's pairs are known by their number: some of their texts occur twice.
        name: Row = {"idx": pair.key[0]} if len(pair.key) == 1 else {}
        done.rows.setdefault(judge.name, []).append({**name, **texts, "run": run, **merged(judge.name, verdicts)})


def judge_benchmark(
    setup: Setup, humans: Path, generators: Path | None, *, runs: int = 1, both_orders: bool = True
) -> Benchmark[JudgedPair]:
    """Return pairs with human votes as a benchmark of judges.

    Raises:
        InputError: The human votes cannot be used.
    """
    found = votes.humans(setup.file(humans), read_rows(generators) if generators else ())
    pairs = judged_pairs(found)
    judges = setup.judging(weighing)
    chosen = choose(pairs, lambda item: item.id, setup.options)
    part = only(found, chosen)
    names = [judge.name for judge in judges]
    return Benchmark(
        name="judges",
        items=chosen,
        identify=lambda item: item.id,
        work=JudgePairs(judges, setup.text(TEMPLATE), runs, both_orders, setup.options.seed).work,
        files={name: f"verdicts/{slug(name)}.jsonl" for name in names},
        figures=lambda rows: live_figures(part, rows),
        system=setup.system,
        judges=judges,
        settings={"runs": runs, "both_orders": both_orders},
        verdicts=runs * (2 if both_orders else 1),
        order=[item.id for item in pairs],
        data=setup.data,
        kin=sorted({pair.system for pair in found.pairs.values() if pair.system}),
    )


def judged_pairs(humans: votes.Humans) -> list[JudgedPair]:
    """Return the pairs as a judge sees them, in the order of the file."""
    return [JudgedPair(name_of_pair(pair, number), pair) for number, pair in enumerate(humans.pairs.values())]


def only(humans: votes.Humans, chosen: Iterable[JudgedPair]) -> votes.Humans:
    """Return the human votes about the chosen pairs, in the order of the file."""
    kept = {item.pair.key for item in chosen}
    return replace(humans, pairs={key: pair for key, pair in humans.pairs.items() if key in kept})


def name_of_pair(pair: votes.Pair, number: int) -> str:
    """Return a pair's name: its number in the file of human votes."""
    return pair.key[0] if len(pair.key) == 1 else str(number)


def live_judges(rows: Mapping[str, Sequence[Row]]) -> list[votes.RecordedJudge]:
    """Return the judges of a run that gave a readable verdict."""
    return [votes.judge(name, own) for name, own in rows.items() if any(row["preference"] is not None for row in own)]


def live_figures(humans: votes.Humans, rows: Mapping[str, Sequence[Row]]) -> Figures:
    """Return the judge table of a run, position bias of each judge, and the judges' agreement with each other."""
    judges = live_judges(rows)
    readable_names = {judge.name for judge in judges}
    notes = [f"{name}: no verdict could be read" for name, own in rows.items() if name not in readable_names and own]
    table = judge_figures(humans, [*judges, *votes.juries(judges)])
    for judge in judges:
        position = position_figures(rows[judge.name])
        table[judge.name]["position"] = position
        if warning := position_warning(position):
            notes.append(f"{judge.name}: {warning}")
    return {
        "n": sum(row["parsed"] for name, row in table.items() if name != "humans"),
        "judges": table,
        "agreement": agreement_figures(judges) if len(judges) > 1 else {},
        "notes": notes,
    }
