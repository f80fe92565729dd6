"""Usage: its five counts, their sum, rows of older ledgers, and the price of cached tokens."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_openai import ChatOpenAI

from moa_graph import create_moa
from moa_graph.costs.prices import price
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.reply.fields import usage_from, usage_metadata
from moa_graph.models.reply.openai_models import repairing
from moa_graph.models.reply.reply import read
from moa_graph.models.reply.stream import Pieces
from moa_graph.state import Usage, as_usage, new_usage, total_usage
from tests.fakes import ServerFault, fake


def test_sums_add_every_count_and_pass_over_unknown_usages() -> None:
    one = new_usage(10, 5, reasoning_tokens=2, cache_read_tokens=8, cache_write_tokens=1)
    assert total_usage([one, None, one]) == new_usage(
        20, 10, reasoning_tokens=4, cache_read_tokens=16, cache_write_tokens=2
    )
    assert total_usage([]) == new_usage()


def test_a_sum_of_huge_counts_stays_below_two_to_the_53() -> None:
    assert total_usage([new_usage(2**53 - 1, 1)] * 3) == new_usage(2**53 - 1, 3)


def test_rows_written_before_there_were_cached_tokens_are_read() -> None:
    assert as_usage({"input_tokens": 3, "output_tokens": 4, "reasoning_tokens": 1}) == new_usage(
        3, 4, reasoning_tokens=1
    )


def test_cached_tokens_are_priced_as_such() -> None:
    full, cached = new_usage(10_000, 100), new_usage(10_000, 100, cache_read_tokens=9_000)
    dear, cheap = price(Proposer(model="openai:gpt-4o"), full), price(Proposer(model="openai:gpt-4o"), cached)
    assert dear is not None and cheap is not None
    assert dear == 0.026 and round(cheap, 6) == 0.01475


def test_more_cached_tokens_than_input_do_not_void_the_price() -> None:
    assert (
        price(Proposer(model="openai:gpt-4o"), new_usage(10, 0, cache_read_tokens=50, cache_write_tokens=50))
        is not None
    )


DETAILS: dict[str, Any] = {
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
"""As servers send them that fill in every field of OpenAI's."""

FORMATS: dict[str, tuple[dict[str, Any], Usage]] = {
    "OpenAI": (
        {"prompt_tokens_details": {"cached_tokens": 800}, "completion_tokens_details": {"reasoning_tokens": 40}},
        new_usage(1_000, 100, reasoning_tokens=40, cache_read_tokens=800),
    ),
    "OpenRouter": (
        {"prompt_tokens_details": {"cached_tokens": 300, "cache_write_tokens": 500}, "cost": 0.1},
        new_usage(1_000, 100, cache_read_tokens=300, cache_write_tokens=500),
    ),
    "DeepSeek": (
        {"prompt_cache_hit_tokens": 800, "prompt_cache_miss_tokens": 200},
        new_usage(1_000, 100, cache_read_tokens=800),
    ),
    "Together, Moonshot": ({"cached_tokens": 800}, new_usage(1_000, 100, cache_read_tokens=800)),
    "Mistral": ({"num_cached_tokens": 800}, new_usage(1_000, 100, cache_read_tokens=800)),
    "Xiaomi": ({"reasoning_tokens": 40, **DETAILS}, new_usage(1_000, 100, reasoning_tokens=40)),
    "Perplexity, which leaves reasoning out": (
        {"reasoning_tokens": 700, "citation_tokens": 9},
        new_usage(1_000, 800, reasoning_tokens=700),
    ),
    "Anthropic's name in a proxy": (
        {"completion_tokens_details": {"thinking_tokens": 40}},
        new_usage(1_000, 100, reasoning_tokens=40),
    ),
    "a name beside empty details": ({"cached_tokens": 800, **DETAILS}, new_usage(1_000, 100, cache_read_tokens=800)),
    "a proxy for Anthropic": (
        {"cache_read_input_tokens": 300, "cache_creation_input_tokens": 500},
        new_usage(1_000, 100, cache_read_tokens=300, cache_write_tokens=500),
    ),
    "xAI, which leaves reasoning out": (
        {"total_tokens": 1_140, "completion_tokens_details": {"reasoning_tokens": 40}},
        new_usage(1_000, 140, reasoning_tokens=40),
    ),
    "xAI, more reasoning than answer": (
        {"total_tokens": 1_900, "completion_tokens_details": {"reasoning_tokens": 800}},
        new_usage(1_000, 900, reasoning_tokens=800),
    ),
    "Gemini's endpoint for OpenAI's clients": ({"total_tokens": 1_900}, new_usage(1_000, 900)),
    "Gemini's, for an answer that did not begin": (
        {"completion_tokens": None, "total_tokens": 1_900},
        new_usage(1_000, 900),
    ),
    "a proxy for Anthropic, with caches apart": (
        {"cache_read_input_tokens": 8_000, "cache_creation_input_tokens": 500},
        new_usage(9_500, 100, cache_read_tokens=8_000, cache_write_tokens=500),
    ),
    "a proxy for Anthropic, with caches apart by its total": (
        {"cache_read_input_tokens": 300, "total_tokens": 1_400},
        new_usage(1_300, 100, cache_read_tokens=300),
    ),
    "a total that is too small": ({"total_tokens": 7}, new_usage(1_000, 100)),
    "a total of something else": ({"total_tokens": 1_900, **DETAILS}, new_usage(1_000, 100)),
    "no numbers": ({"cached_tokens": "many", "total_tokens": [1], "prompt_tokens_details": 5}, new_usage(1_000, 100)),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_each_providers_counts_of_caches_and_reasoning_are_read(name: str, *, stream: bool) -> None:
    given, usage = FORMATS[name]
    body: dict[str, Any] = {"usage": {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100, **given}}
    model = repairing(ChatOpenAI)(model="x", api_key="none")
    if stream:
        message = model._convert_chunk_to_generation_chunk({**body, "choices": []}, AIMessageChunk, None).message
    else:
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}
        message = model._create_chat_result({**body, "choices": [choice]}).generations[0].message
    assert usage_from(message.usage_metadata) == usage


def test_cache_writes_of_every_lifetime_count() -> None:
    details = {"cache_creation": 0, "ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 500}
    found = usage_from({"input_tokens": 1_000, "output_tokens": 1, "input_token_details": details})
    assert found == new_usage(1_000, 1, cache_write_tokens=600, cache_write_1h_tokens=500)
    assert found is not None and usage_from(usage_metadata(found)) == found


def test_cache_writes_for_an_hour_are_summed_and_stay_absent_when_there_are_none() -> None:
    hour = new_usage(1_000, 1, cache_write_tokens=600, cache_write_1h_tokens=500)
    assert total_usage([hour, new_usage(1, 1), hour]).get("cache_write_1h_tokens") == 1_000
    assert "cache_write_1h_tokens" not in total_usage([new_usage(1, 1, cache_write_tokens=1)])
    assert as_usage(dict(hour)) == hour


def test_cache_writes_for_an_hour_have_their_own_price() -> None:
    """Anthropic bills a cache write for five minutes with 1.25 times the price of input, for an hour with 2 times."""
    spec = Proposer(model="anthropic:claude-sonnet-4-5")
    read, short = price(spec, new_usage(100_000)), price(spec, new_usage(100_000, cache_write_tokens=100_000))
    long = price(spec, new_usage(100_000, cache_write_tokens=100_000, cache_write_1h_tokens=100_000))
    assert read and short and long
    assert (round(short / read, 3), round(long / read, 3)) == (1.25, 2.0)


async def test_a_stream_of_anthropics_class_keeps_the_writes_for_an_hour() -> None:
    details: Any = {"cache_creation": 0, "ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 500}
    counts: Any = {"input_tokens": 600, "output_tokens": 1, "total_tokens": 601, "input_token_details": details}
    pieces = Pieces()
    for text in ("an ", "answer"):
        pieces.add(AIMessageChunk(text, usage_metadata=counts))
    assert read(pieces.raw()).usage == new_usage(600, 1, cache_write_tokens=500, cache_write_1h_tokens=500)


@pytest.mark.parametrize("output", [0, 7])
@pytest.mark.parametrize("form", ["LangChain", "OpenAI"])
def test_an_answer_to_no_tokens_has_an_unknown_usage(output: int, form: str) -> None:
    """LangChain's Anthropic class writes 0 where a compatible server states no usage: its cost would be 0 dollars."""
    counts: Any = {"input_tokens": 0, "output_tokens": output, "total_tokens": output}
    if form == "LangChain":
        message = AIMessage("An answer.", usage_metadata=counts)
    else:
        usage = {"prompt_tokens": 0, "completion_tokens": output}
        message = AIMessage("An answer.", response_metadata={"token_usage": usage})
    reply = read(message)
    assert reply.status == "ok" and reply.usage is None and reply.message.usage_metadata is None


def test_no_tokens_of_a_reply_without_an_answer_are_a_count() -> None:
    """A provider that filters a prompt says that it charges nothing."""
    counts: Any = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    reply = read(AIMessage("", usage_metadata=counts, response_metadata={"finish_reason": "content_filter"}))
    assert reply.status == "filtered" and reply.usage is not None and reply.usage["input_tokens"] == 0


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("An answer."),
        AIMessage([{"type": "thinking", "thinking": "Hm.", "signature": "s"}]),
        AIMessage("", additional_kwargs={"reasoning_content": "Hm."}),
        AIMessage("<think>Hm.</think>"),
        AIMessage("", tool_calls=[{"name": "not_offered", "args": {}, "id": "1"}]),
    ],
)
@pytest.mark.parametrize("counts", [(0, 0), (9, 0), (0, 9)])
def test_any_output_of_no_tokens_or_to_none_has_an_unknown_usage(message: AIMessage, counts: tuple[int, int]) -> None:
    """LangChain's Gemini class writes 0 output tokens where only those of the prompt are stated."""
    given: Any = {"input_tokens": counts[0], "output_tokens": counts[1], "total_tokens": sum(counts)}
    assert read(message.model_copy(update={"usage_metadata": given})).usage is None
    given = {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10}
    assert read(message.model_copy(update={"usage_metadata": given})).usage == new_usage(9, 1)


def _counted(reason: str, usage: bool = True, cost: float | None = None) -> AIMessage:
    counts: Any = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    metadata = {"finish_reason": reason, "token_usage": {} if cost is None else {"cost": cost}}
    return AIMessage("Some words.", usage_metadata=counts if usage else None, response_metadata=metadata)


@pytest.mark.parametrize(
    ("first", "second", "usage", "cost"),
    [
        (_counted("error"), _counted("stop"), new_usage(20, 10), 0.03),
        (_counted("error"), _counted("stop", usage=False), None, None),
        (_counted("error", usage=False), _counted("stop"), None, None),
        (ServerFault(500), _counted("stop"), new_usage(10, 5), 0.015),
        # Dollars that the provider states for one of two replies are not those of both.
        (_counted("error", cost=1.0), _counted("stop", cost=2.0), new_usage(20, 10), 3.0),
        (_counted("error", cost=1.0), _counted("stop"), new_usage(20, 10), 0.03),
        (_counted("error"), _counted("stop", cost=1.0), new_usage(20, 10), 0.03),
    ],
)
async def test_a_call_that_is_repeated_costs_what_all_its_replies_cost(
    first: Any, second: Any, usage: Usage | None, cost: float | None
) -> None:
    proposer = {"model": fake("p", first, second), "name": "first"}
    graph = create_moa(proposers=[proposer], aggregator=fake("a"), prices={"Fake:p": {"input": 1_000, "output": 1_000}})
    draft = (await graph.ainvoke({"messages": "q"}))["drafts"][0]
    assert (draft["status"], draft["attempts"], draft["usage"]) == ("ok", 2, usage)
    assert draft["cost"] == (None if cost is None else pytest.approx(cost))
