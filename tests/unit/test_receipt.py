"""What caches saved, of all calls of a run: the drafts', the combiner's own, and that of the model that answered."""

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from moa_graph import Mixture, MoAContext, create_moa
from moa_graph.costs.receipt import Receipt, receipt
from moa_graph.costs.tokens import prompt_tokens
from moa_graph.mixture.context import settings
from moa_graph.models.reply.reply import read
from moa_graph.state import new_usage
from tests.fakes import ServerFault, fake

RATES = {"one": 1.0, "two": 10.0, "writer": 100.0, "own": 1_000.0, "spare": 10_000.0}
"""What a million input tokens of each model cost. From the cache they are free, and so is all output."""
ASK: list[BaseMessage] = [HumanMessage("Why?")]
PROBLEM = '{"problems": [{"kind": "wrong", "what": "all of it"}]}'
SCORES = '{"scores": {"1": 3, "2": 7}}'


def cached(name: str, *texts: str | Exception) -> Any:
    """A model that reads all 1,000,000 tokens of every prompt from the cache."""
    usage = {"input_tokens": 1_000_000, "output_tokens": 1, "total_tokens": 1_000_001}
    details = {**usage, "input_token_details": {"cache_read": 1_000_000}}
    replies = [AIMessage(t, usage_metadata=details) if isinstance(t, str) else t for t in texts or (f"I am {name}.",)]
    return fake(name, *replies)


def billed(combine: Any, *, context: MoAContext | None = None, **fields: Any) -> Receipt:
    """Return the receipt of a run whose saved dollars have a digit for each model: how often it was called."""
    models = [cached(name, f"I am {name}.", SCORES) for name in ("one", "two")]
    given = {"proposers": models, "aggregator": cached("writer"), "max_attempts": 1, **fields}
    labels = [spec.label for spec in Mixture(**given, combine=combine).specs]
    prices: Any = {each: {"input": RATES[each.partition(":")[2]], "output": 0, "cache_read": 0} for each in labels}
    mixture = Mixture(**given, combine=combine, prices=prices)
    result = asyncio.run(create_moa(mixture).ainvoke({"messages": ASK}, context=context))
    usage = read(result["messages"][-1]).usage
    run = settings(mixture, context)
    answer = result["messages"][-1].text
    return receipt(run, ASK, result["drafts"], result.get("notes", []), usage, result["record"], answer)


@pytest.mark.parametrize(
    ("combine", "saved"),
    [
        ("synthesize", 111),
        ({"name": "analyze", "analyst": cached("own", "{}")}, 1_111),
        ({"name": "select", "judge": cached("own", SCORES), "judges": 2}, 2_011),
        ({"name": "select", "by": "peers"}, 22),
        ({"name": "critique", "reviewers": [cached("own", PROBLEM)]}, 2_122),
        ({"name": "vote", "answer": "last_line", "stop": False}, 11),
        ({"name": "escalate", "strong": [cached("spare")], "agree": "model", "comparator": cached("own", "no"),
          "gate": {"model": cached("own", "yes"), "question": "Hard?"}}, 12_011),
    ],
    ids=["synthesize", "analyze", "select", "peers", "critique", "vote", "escalate"],
)  # fmt: skip
def test_the_savings_are_those_of_all_calls(combine: Any, saved: float) -> None:
    assert billed(combine).caches_saved == pytest.approx(saved)


def test_a_fallback_that_answered_has_its_own_price() -> None:
    failing = {"aggregator": cached("writer", ServerFault(500)), "fallbacks": [cached("spare")]}
    assert billed("synthesize", **failing).caches_saved == pytest.approx(10_011)


def test_a_model_that_the_run_chose_as_aggregator_has_a_receipt() -> None:
    found = billed("synthesize", context=MoAContext(aggregator="Fake:two"))
    assert found.caches_saved == pytest.approx(21) and found.alone is not None


@pytest.mark.parametrize("combine", ["synthesize", "select", {"name": "vote", "answer": "last_line", "stop": False}])
def test_the_aggregator_alone_has_a_cost_also_where_a_draft_is_the_answer(combine: Any) -> None:
    # Tokens of output are free here: "Why?" is what it would have read.
    assert billed(combine).alone == pytest.approx(100.0 * prompt_tokens(ASK) / 1e6)


def test_an_answer_that_no_model_wrote_counts_by_its_length() -> None:
    mixture = Mixture(proposers=["openai:a"], aggregator="openai:b", prices={"openai:b": [0, 1_000_000]})
    record: Any = {"fallback": None}
    assert receipt(settings(mixture, None), ASK, [], [], None, record, "x" * 40).alone == 10
    assert receipt(settings(mixture, None), ASK, [], [], new_usage(1, 7), record, "x" * 40).alone == 7
