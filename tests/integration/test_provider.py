"""The loopback provider behaves as its table says, observed through the real SDK."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from openai import APIStatusError, AsyncOpenAI, OpenAIError, RateLimitError

from tests.provider import FAULTS, Provider

ASK = [{"role": "user", "content": "What is magic of 7?"}]


@pytest.fixture
async def openai(provider: Provider) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=provider.url, api_key="key-1", max_retries=0, timeout=60) as client:
        yield client


async def whole(openai: AsyncOpenAI, model: str, **options):
    return await openai.chat.completions.create(model=model, messages=ASK, **options)


async def streamed(openai: AsyncOpenAI, model: str, **options):
    stream = await openai.chat.completions.create(model=model, messages=ASK, stream=True, **options)
    return [event async for event in stream]


async def test_every_fault_differs_from_a_plain_answer_in_both_modes(provider, openai):
    """Every entry of the fault table has an effect."""
    plain = (await whole(openai, "m-tok=8")).choices[0]
    for fault in FAULTS:
        model = f"m-tok=8-{fault}" + ("-drip=1" if fault == "drip" else "")
        # Only what hangs is cut off.
        limit = {"timeout": 0.2} if "hang" in fault else {}
        try:
            answer = await whole(openai, model, **limit)
            assert fault == "nodone" or answer.choices != [plain] or fault == "wrongtype", fault
            if fault not in ("nodone", "wrongtype", "same"):
                choice = answer.choices[0] if answer.choices else None
                assert (choice and choice.message.content) != plain.message.content.replace("m-tok=8", model), fault
        except (OpenAIError, AttributeError, ValueError):
            pass
        try:
            events = await streamed(openai, model, **limit)
            assert len(events) != 10 or fault in ("wrongtype", "same", "length"), fault
        except (OpenAIError, AttributeError, ValueError):
            pass
    assert provider.wait(lambda stats: stats["in_flight"] == 0)["in_flight"] == 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503, 529])
async def test_status_and_retry_after(provider, openai, status):
    with pytest.raises(APIStatusError) as caught:
        await whole(openai, f"err{status}-ra=3-rams=20")
    assert caught.value.status_code == status
    assert caught.value.response.headers["retry-after"] == "3"
    assert caught.value.response.headers["retry-after-ms"] == "20"


async def test_a_fault_may_strike_only_the_first_requests(provider, openai):
    for _ in range(2):
        with pytest.raises(RateLimitError):
            await whole(openai, "err429x2-echo")
    assert (await whole(openai, "err429x2-echo")).choices[0].message.content == ASK[0]["content"]
    assert provider.stats()["models"]["err429x2-echo"]["requests"] == 3


async def test_it_records_headers_and_counts_disconnects(provider, openai):
    asked = asyncio.create_task(whole(openai, "hang"))
    await asyncio.to_thread(provider.wait, lambda stats: stats["in_flight"] == 1)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    stats = provider.wait(lambda stats: stats["disconnected"] == 1)
    assert (stats["requests"], stats["disconnected"], stats["in_flight"], stats["peak"]) == (1, 1, 0, 1)
    assert provider.requests("hang")[0].headers["authorization"] == "Bearer key-1"


async def test_streaming_equals_not_streaming_and_usage_is_optional(provider, openai):
    answer = (await whole(openai, "m-tok=8")).choices[0].message.content
    events = await streamed(openai, "m-tok=8", stream_options={"include_usage": True})
    assert "".join(event.choices[0].delta.content or "" for event in events if event.choices) == answer
    assert events[-1].usage.completion_tokens == 8
    assert all(event.usage is None for event in await streamed(openai, "m-tok=8"))


async def test_tools_schema_and_log_probabilities(provider, openai):
    schema = {"type": "object", "properties": {"x": {"type": "integer"}, "why": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "magic", "parameters": schema}}
    call = (await whole(openai, "m", tools=[tool])).choices[0].message.tool_calls[0].function
    assert (call.name, call.arguments) == ("magic", '{"x":7,"why":"text"}')
    form = {"type": "json_schema", "json_schema": {"name": "magic", "schema": schema}}
    assert (await whole(openai, "m", response_format=form)).choices[0].message.content == '{"x":7,"why":"text"}'
    judged = (await whole(openai, "judge=0.25", logprobs=True, top_logprobs=2)).choices[0]
    assert judged.message.content == "m"
    assert [each.token for each in judged.logprobs.content[0].top_logprobs] == ["m", "M"]
