"""Free candidates are computed; the graph gives the same answers. The combiners' own nodes are the oracle here."""

import random
from typing import Any

import numpy as np
import pytest

from benchmarks.combine.answers import counted
from moa_graph.evals.tune import free
from moa_graph.evals.tune.recorded.read import read_recorded
from moa_graph.evals.tune.samples import GradedDraft, Samples, best_reader
from moa_graph.graph.agreement import compare
from moa_graph.mixture.answers import AnswerReader
from moa_graph.state import new_usage
from tests.tune.assets import ASSETS, needs_assets

READER = AnswerReader(read="last_line")


def table(texts: list[list[list[str]]], scores: Any = None) -> Samples:
    """Drafts by model, prompt and number; an empty one failed."""
    rows = [
        [
            [
                GradedDraft(
                    text, float(text == "7") if text else 0.0, 0.5, 1.0 + m, new_usage(10, 10), None if text else "down"
                )
                for text in drafts
            ]
            for drafts in model
        ]
        for m, model in enumerate(texts)
    ]
    return Samples.of([f"m{n}" for n in range(len(texts))], [str(n) for n in range(len(texts[0]))], rows, READER)


async def test_votes_are_those_of_the_combiner() -> None:
    """500 random votes with ties: the winner and the number of answers read before it stops."""
    rng = random.Random(0)
    for _ in range(500):
        answers = [rng.choice("aabc") for _ in range(rng.randint(2, 9))]
        codes = np.array([ord(each) - ord("a") for each in answers])
        full = await counted(answers, stop=False)
        assert answers[int(free.votes(codes))] == full.winner
        sure = await counted(answers, sure=0.9)
        used = int(free.stopped(codes, 0.9))
        assert used == sure.used
        assert answers[int(free.votes(codes[:used]))] == sure.winner


def test_a_draft_without_an_answer_has_no_vote() -> None:
    assert int(free.votes(np.array([-1, -1, 3]))) == 2
    assert int(free.votes(np.array([-1, -1]))) == 0
    assert int(free.stopped(np.array([-1, 1, 1, 2]), 0.95)) == 3


def test_costs_and_seconds_of_a_vote() -> None:
    """Every draft is paid for; the answer waits for the slowest."""
    samples = table([[["7"], ["8"]], [["7"], ["8"]], [["6"], ["7"]]])
    found = free.voted(samples, free.deal(samples), [0, 1, 2])
    assert found.scores.tolist() == [1.0, 0.0]
    assert (found.cost, found.calls, found.seconds, found.tokens) == (1.5, 3.0, 3.0, 60.0)
    assert found.first.tolist() == [[0, 0], [0, 0]]


def test_an_escalation_pays_for_the_strong_model_where_the_cheap_ones_differ() -> None:
    samples = table([[["7"], ["8"]], [["7"], ["9"]], [["6"], ["7"]]])
    found = free.escalated(samples, free.deal(samples), [0, 1], 2)
    assert found.scores.tolist() == [1.0, 1.0]
    assert (found.calls, found.cost) == (2.5, 1.25)
    assert found.seconds == pytest.approx((2 + 2 + 3) / 2)


def test_an_unknown_price_is_unknown_and_a_failed_draft_costs_nothing() -> None:
    samples = table([[["7"], [""]]])
    assert free.alone(samples, 0).cost == 0.25
    assert samples.missing == 1
    unknown = Samples.of(["m"], ["0"], [[[GradedDraft("7", 1.0, None)]]], READER)
    assert free.alone(unknown, 0).cost is None


def test_draws_are_permutations_and_the_first_is_in_order() -> None:
    samples = table([[["7", "8", "9"]] * 4, [["7", "8"]] * 4])
    draws = free.deal(samples, seed=3)
    assert draws.orders[0, 0].tolist() == [[0, 1, 2]] * 4
    assert all(sorted(order[:2]) == [0, 1] for order in draws.orders[:, 1].reshape(-1, 3).tolist())
    slots = draws.slots([0, 0, 1])
    assert (slots[..., 0] != slots[..., 1]).all()
    assert (free.deal(samples, seed=3).orders == draws.orders).all()


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 7, 16, 40])
def test_every_draft_stands_in_every_slot_equally_often(depth: int) -> None:
    """So that a draft's place in its row decides nothing; of more than 16 drafts a part is dealt."""
    orders = free.deal(table([[["7"] * depth] * 6])).orders
    assert len(orders) == {1: 1, 2: 16, 3: 15, 5: 15, 7: 14, 16: 16, 40: 16}[depth]
    for slot in range(depth if depth <= 16 else 0):
        places = orders[:, 0, :, slot]
        assert all(np.bincount(places[:, prompt]).tolist() == [len(orders) // depth] * depth for prompt in range(6))


def test_the_mean_over_draws_is_the_expected_score() -> None:
    """A vote of three of five drafts, three of them right: 7 of 10 groups have a right majority, drawn at random."""
    rng = random.Random(0)
    samples = table([[rng.sample(["7", "7", "7", "8", "8"], 5) for _ in range(400)]])
    found = free.voted(samples, free.deal(samples), [0, 0, 0])
    assert found.scores.mean() == pytest.approx(0.7, abs=0.02)


@needs_assets
def test_medoids_of_recorded_drafts() -> None:
    """The known accuracy of the medoid of four on GSM8K, 88.75 %."""
    samples = read_recorded(ASSETS / "recorded_drafts" / "gsm8k400.jsonl.gz").samples
    found = free.medoids(samples, free.deal(samples), [0, 1, 2, 3])
    assert 100 * found.scores.mean() == pytest.approx(88.75)
    texts = [samples.rows[m][7][0].text for m in range(4)]
    assert found.first[7].tolist() == [compare(texts).medoid, 0]


def test_the_reader_that_the_grades_agree_with_is_taken() -> None:
    """Answers that end in a sentence are read as numbers, letters as choices; without right answers as requested."""
    rows = [[[GradedDraft(f"So it is {n} apples in all.", 1.0)] for n in (5, 12)]]
    assert best_reader(rows, [("5",), ("12",)], AnswerReader()).read == "number"
    rows = [[[GradedDraft("I think (B) because of C.", 1.0)], [GradedDraft("(A), not B", 1.0)]]]
    assert best_reader(rows, [("B",), ("A",)], AnswerReader()).read == "choice"
    assert best_reader(rows, [(), ()], READER) is READER
