"""AlpacaEval 2 from instructions to annotations: generate, judge against the reference, score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from moa_graph.errors import InputError
from moa_graph.evals.alpaca_eval import judge as weighted
from moa_graph.evals.data.files import Row
from moa_graph.evals.engine import ItemOutcome, at_once
from moa_graph.evals.judge import Judge
from moa_graph.evals.jury import name_of, preference
from moa_graph.evals.systems.mixture import System, SystemRequest
from moa_graph.evals.systems.paid_calls import PaidReply
from moa_graph.state import total_cost

OUTPUTS, ANNOTATIONS, CANARY = "model_outputs.json", "annotations.json", "canary_annotations.json"
TEMPLATE = "alpaca_eval/judge_prompt/alpaca_eval_clf.txt"
NULL_MODEL = "alpaca_eval/model_outputs/NullModel.json"


@dataclass(frozen=True)
class AlpacaItem:
    """One instruction with the reference output."""

    id: str
    instruction: str
    dataset: str
    reference: str
    generator: str


def items(rows: Sequence[Row], source: str) -> list[AlpacaItem]:
    """Return the benchmark from the reference outputs of the file `source`; an item's id is its position in the file.

    Raises:
        InputError: A row cannot be used as a reference; the message names it.
    """
    if not rows:
        raise InputError(f"{source} has no rows")
    seen: dict[str, int] = {}
    found = []
    for place, row in enumerate(rows):
        for name in ("instruction", "output", "generator"):
            if not isinstance(row.get(name), str):
                raise InputError(
                    f"{source}, row {place + 1}: {name!r} is missing or is not text. Complete or remove the row"
                )
        before = seen.setdefault(row["instruction"], place)
        if before != place:
            raise InputError(f"{source}, row {place + 1}: same instruction as row {before + 1}. Remove one of them")
        found.append(
            AlpacaItem(str(place), row["instruction"], str(row.get("dataset") or ""), row["output"], row["generator"])
        )
    return found


@dataclass(frozen=True)
class Alpaca:
    """The work of one item.

    Without a judge, only outputs are written. `canary` is a constant answer, judged as well.
    """

    system: System
    judges: Sequence[Judge]
    template: str = ""
    seed: int = 0
    both_orders: bool = False
    temperature: float | None = None
    max_tokens: int | None = None
    canary: str | None = None
    majority: bool = False

    async def work(self, item: AlpacaItem, done: ItemOutcome) -> None:
        """Generate and judge one item."""
        ask = SystemRequest(
            item.id, (item.instruction,), [("user", item.instruction)], 0, self.temperature, self.max_tokens
        )
        answer = await self.system.answer(ask)
        done.answered(answer, ask)
        if answer.text is None:
            return
        done.rows[OUTPUTS] = [
            {
                "instruction": item.instruction,
                "dataset": item.dataset,
                "output": answer.text,
                "generator": self.system.name,
            }
        ]
        if self.judges:
            outputs = [(answer.text, self.system.name, ANNOTATIONS)]
            outputs += [] if self.canary is None else [(self.canary, "canary", CANARY)]
            await at_once(done, [partial(self._judge, item, *output) for output in outputs])

    async def _judge(self, item: AlpacaItem, output: str, generator: str, file: str, done: ItemOutcome) -> None:
        seeded = weighted.switched(item.instruction, self.seed)
        orders = [seeded, not seeded] if self.both_orders else [seeded]
        row: Row = {
            "instruction": item.instruction,
            "output_1": item.reference,
            "generator_1": item.generator,
            "dataset": item.dataset,
            "output_2": output,
            "generator_2": generator,
        }
        if output == item.reference:
            name = name_of([judge.name for judge in self.judges])
            row |= {"annotator": name, "preference": 1.5, "price_per_example": 0.0, "raw_completion": None}
            done.rows[file] = [row]
            return
        pairs = [(judge, order) for judge in self.judges for order in orders]
        verdicts = await at_once(
            done, [partial(self._verdict, judge, item, output, order, generator) for judge, order in pairs]
        )
        found = []
        for judge in self.judges:
            own = [v for (each, _), v in zip(pairs, verdicts, strict=True) if each is judge and v is not None]
            found += [merged(judge.name, own)] if len(own) == len(orders) else []
        if found:
            done.rows[file] = [row | (found[0] if len(self.judges) == 1 else self._jury(found))]

    async def _verdict(
        self, judge: Judge, item: AlpacaItem, output: str, switched: bool, role: str, done: ItemOutcome
    ) -> Row | None:
        """Return one order's verdict; None if the call failed, which counts neither as verdict nor as parse failure."""
        first, second = (output, item.reference) if switched else (item.reference, output)
        turns = weighted.messages(self.template, instruction=item.instruction, first=first, second=second)
        name = "judge canary" if role == "canary" else "judge"
        reply = await judge.ask(turns, item=item.id, slot=int(switched), role=name, readable=readable)
        if not done.judged(judge.name, reply):
            return None
        share = share_of(reply)
        done.unreadable += share is None
        return {
            "preference": weighted.preference(share, switched=switched),
            "price": reply.cost,
            "is_switched": switched,
            "first_share": share,
            "judge": judge.record(self.template, reply),
            "raw_completion": {"text": reply.text, "logprobs": {"content": [{"top_logprobs": reply.top}]}},
        }

    def _jury(self, members: Sequence[Row]) -> Row:
        """Return the verdict of several judges as one row, with each member's own."""
        return {
            "annotator": name_of([judge.name for judge in self.judges]),
            "preference": self._together(members),
            "price_per_example": total_cost([member["price_per_example"] for member in members]),
            "is_switched": members[0]["is_switched"],
            "jury": list(members),
            **({"orders": self._jury_orders(members)} if "orders" in members[0] else {}),
        }

    def _together(self, members: Sequence[Row]) -> float | None:
        read = [member["preference"] for member in members if member["preference"] is not None]
        return preference(read, majority=self.majority)

    def _jury_orders(self, members: Sequence[Row]) -> list[Row]:
        """Return the jury's preference in each order."""
        return [
            {"is_switched": each[0]["is_switched"], "preference": self._together(each)}
            for each in zip(*(member["orders"] for member in members), strict=True)
        ]


def share_of(reply: PaidReply) -> float | None:
    """Return the share of the answer shown first; None when the verdict cannot be read."""
    return weighted.first_share(reply.top) if reply.top else weighted.text_share(reply.text)


def readable(reply: PaidReply) -> bool:
    return share_of(reply) is not None


def merged(annotator: str, verdicts: Sequence[Row]) -> Row:
    """Merge the verdicts: one order as published; two orders as the mean of both, unreadable if either is.

    Wall time is left out, so that final files have the same bytes in every run."""
    read = [v["preference"] for v in verdicts if v["preference"] is not None]
    row: Row = {
        "annotator": annotator,
        "preference": sum(read) / len(read) if len(read) == len(verdicts) else None,
        "price_per_example": total_cost([v["price"] for v in verdicts]),
        "judge": verdicts[0]["judge"],
        "is_switched": verdicts[0]["is_switched"],
        "raw_completion": verdicts[0]["raw_completion"],
    }
    if len(verdicts) > 1:
        row["orders"] = [{k: v[k] for k in ("is_switched", "preference", "first_share")} for v in verdicts]
    return row
