"""The cheap path under ChatOpenAI and ChatTogether behaves as the SDK does, fault by fault."""

import asyncio
import contextlib
import gc
import os
import re
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import httpx2
import openai
import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from moa_graph.models.openai_http import chat_openai
from tests.provider import FAULTS, Provider

HELLO = [SystemMessage("Be short."), HumanMessage("What is magic of 7?")]


class Magic(BaseModel):
    """What magic makes of a number."""

    x: int
    why: str


def cheap(url: str, model: str, kind: str = "openai", **fields):
    return chat_openai(kind, model=model, base_url=url, api_key="key-1", **fields)


@pytest.fixture
async def plain():
    """ChatOpenAI with the plain SDK, except for redirects, which neither path follows."""
    async with contextlib.AsyncExitStack() as stack:

        def make(url: str, model: str, **fields):
            http = httpx2.AsyncClient(timeout=None)
            sdk = openai.AsyncOpenAI(base_url=url, api_key="key-1", max_retries=0, http_client=http)
            stack.push_async_callback(sdk.close)
            clients = {"async_client": sdk.chat.completions, "root_async_client": sdk, "client": sdk}
            known = {"api_key": "key-1", "stream_usage": True, "max_retries": 0}
            return ChatOpenAI(model=model, base_url=url, **known, **clients, **fields)

        yield make


async def whole(model):
    return await model.ainvoke(HELLO)


async def streamed(model):
    chunks = [chunk async for chunk in model.astream(HELLO)]
    answer = chunks[0]
    for chunk in chunks[1:]:
        answer += chunk
    return answer


def shown(outcome):
    """All that a caller can see of an answer or an error; keys without a value say nothing."""
    if isinstance(outcome, AIMessage):
        data = outcome.model_dump(exclude={"id"})
        data["response_metadata"].pop("id", None)
        return _without_nothing(data)
    body = getattr(outcome, "body", None)
    response = getattr(outcome, "response", None)
    return {
        "types": [kind.__name__ for kind in type(outcome).__mro__],
        "text": _unnumbered(str(outcome)),
        "status": getattr(outcome, "status_code", None),
        "body": body,
        "code": getattr(outcome, "code", None),
        "retryable": getattr(outcome, "is_retryable", None),
        "request": str(outcome.request.url) if hasattr(outcome, "request") else None,
        "request_id": getattr(outcome, "request_id", None),
        "retry_after": response.headers.get("retry-after") if response is not None else None,
        "response": _unnumbered(response.text) if response is not None else None,
    }


def _unnumbered(text):
    return re.sub(r"chatcmpl-\d+", "", text)


def _without_nothing(value):
    if isinstance(value, dict):
        cleaned = {key: _without_nothing(each) for key, each in value.items()}
        return {key: each for key, each in cleaned.items() if each not in (None, [], {})}
    return value


async def outcome(asked, model, *, patience=60.0):
    try:
        async with asyncio.timeout(patience):
            return shown(await asked(model))
    except Exception as error:  # an exception of any class is compared
        return shown(error)


# The SDK's objects warn when a list stands where text should.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("asked", [whole, streamed])
async def test_every_fault_looks_as_it_does_through_the_sdk(provider, asked, plain):
    differences = {}
    for make in (cheap, plain):
        await asked(make(provider.url, "m"))  # first calls import and compile, which takes its time
    for fault in [*FAULTS, "err429-ra=7", "err503-html", "err400-html", "err418", "none"]:
        name = f"m-tok=8-{fault}"
        # Only those that never end are cut off; a busy machine may be slow with the others.
        patience = 0.3 if fault in ("hang", "hangmid", "drip") else 60.0
        ours = await outcome(asked, cheap(provider.url, name), patience=patience)
        theirs = await outcome(asked, plain(provider.url, name), patience=patience)
        if ours != theirs:
            differences[fault] = (ours, theirs)
    # The SDK hands out the text of a page instead of JSON; LangChain reports its type, or that it is nothing.
    ours, _ = differences.pop("html")
    assert (ours["text"], ours["types"][0]) == ("an HTML page instead of JSON: Welcome", "ValueError")
    # LangChain drops the thoughts, so that nothing says that there were any.
    ours, theirs = differences.pop("reasoning")
    assert ours.pop("additional_kwargs") == {"moa_thoughts": True} and ours == theirs
    # LangChain drops the words of a streamed refusal.
    if asked is streamed:
        ours, _ = differences.pop("refuse")
        assert ours["additional_kwargs"] == {"refusal": "I can't help with that."}
        # LangChain returns an empty answer for a stream without any choice, and an error for such a whole reply.
        for fault in ("nochoices", "nullchoices"):
            ours, _ = differences.pop(fault)
            assert ours["text"] == "the reply does not keep to the protocol (it has no choices)" and ours["retryable"]
    assert differences == {}


@pytest.mark.parametrize("asked", [whole, streamed])
async def test_connections_that_fail_look_as_they_do_through_the_sdk(provider, asked, plain):
    closed = "http://127.0.0.1:9/v1"
    for url in (closed, "http://nowhere.invalid/v1", provider.url.replace("http:", "https:")):
        assert await outcome(asked, cheap(url, "m")) == await outcome(asked, plain(url, "m")), url


async def test_requests_are_the_sdks(provider, plain):
    for make in (cheap, plain):
        await whole(make(provider.url, "m", temperature=0.3, max_tokens=5, seed=4, stop=["x"]))
        await streamed(make(provider.url, "m", temperature=0.3))
    ours, our_stream, theirs, their_stream = provider.requests("m")
    assert (ours.json, our_stream.json) == (theirs.json, their_stream.json)
    for name in ("authorization", "content-type", "accept"):
        assert ours.headers[name] == theirs.headers[name]
    assert "openai-organization" not in ours.headers


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
async def test_structured_output_in_every_method(provider, method, plain):
    question = "Give 'x' and 'why' for 7."
    schema = Magic if method != "json_mode" else None
    ours, theirs = [
        await make(provider.url, "m").with_structured_output(schema, method=method).ainvoke(question)
        for make in (cheap, plain)
    ]
    assert ours == theirs
    assert ours.x == 7 if schema else ours.keys() == {"x", "why"}


async def test_tools_streamed_and_not_log_probabilities_and_pictures(provider, plain):
    for make in (cheap, plain):
        bound = make(provider.url, "m").bind_tools([Magic])
        for asked in (whole, streamed):
            call = (await asked(bound)).tool_calls[0]
            assert (call["name"], call["args"]["x"]) == ("Magic", 7)
        judge = make(provider.url, "judge=0.25").bind(logprobs=True, top_logprobs=2)
        tops = (await judge.ainvoke(HELLO)).response_metadata["logprobs"]["content"][0]["top_logprobs"]
        assert [each["token"] for each in tops] == ["m", "M"]
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
        seen = await make(provider.url, "echo").ainvoke([HumanMessage([{"type": "text", "text": "see"}, picture])])
        assert seen.content == "see"


async def test_together_uses_its_own_class_over_the_same_path(provider):
    answer = await whole(cheap(provider.url, "echo", "together"))
    assert answer.content == HELLO[1].content
    assert answer.usage_metadata["output_tokens"] > 0


async def test_unknown_parameters_go_through_the_sdk(provider, plain):
    """Extra headers are the SDK's; a body that is not plain JSON ends in the SDK's own error."""
    await cheap(provider.url, "m").ainvoke(HELLO, extra_headers={"x-mine": "1"})
    assert provider.requests("m")[0].headers["x-mine"] == "1"
    assert "x-stainless-lang" in provider.requests("m")[0].headers
    await cheap(provider.url, "m").ainvoke(HELLO, extra_body={"top_k": 4})
    assert provider.requests("m")[1].json["top_k"] == 4
    await whole(cheap(provider.url, "m", cheap=False))
    assert "x-stainless-lang" in provider.requests("m")[2].headers
    with pytest.raises(UnicodeEncodeError):
        await cheap(provider.url, "m").ainvoke("\ud800")
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        await cheap(provider.url, "m").ainvoke(HELLO, nonsense=1)


async def test_leaving_a_stream_or_a_call_early_closes_the_request_at_once(provider):
    model = cheap(provider.url, "slow-ttft=1-tps=20")
    stream = model.astream(HELLO)
    await anext(stream)
    await stream.aclose()
    assert (await _stats(provider, lambda stats: stats["disconnected"] == 1))["in_flight"] == 0
    for coroutine in (whole(model), streamed(model), whole(cheap(provider.url, "hang"))):
        task = asyncio.create_task(coroutine)
        await _stats(provider, lambda stats: stats["in_flight"] == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await _stats(provider, lambda stats: stats["in_flight"] == 0))["in_flight"] == 0
    assert provider.stats()["disconnected"] == 4


async def _stats(provider: Provider, condition):
    return await asyncio.to_thread(provider.wait, condition)


async def test_connections_are_used_again_after_whole_and_broken_off_answers(provider):
    for _ in range(3):
        for name in ("m", "err429", "html", "nochoices"):
            for asked in (whole, streamed):
                await outcome(asked, cheap(provider.url, name))
    assert provider.stats()["connections"] <= 1


def test_a_hundred_loops_in_a_row_leave_nothing_open(provider):
    model = cheap(provider.url, "echo")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        for number in range(100):
            answer = asyncio.run(model.ainvoke(f"question {number}"))
            assert answer.content == f"question {number}"
        gc.collect()
    assert provider.stats()["requests"] == 100


def test_loops_that_are_just_closed_do_no_harm(provider):
    """Generators are not shut down: garbage collection closes the sockets, and the next loop has its own session."""
    model = cheap(provider.url, "echo")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # asyncio's own, for transports left open
        for number in range(20):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(model.ainvoke(f"question {number}")).content == f"question {number}"
            loop.close()
        assert asyncio.run(model.ainvoke("last")).content == "last"  # closes the session of the last closed loop
        gc.collect()
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) < 200


def test_eight_threads_with_their_own_loops(provider):
    model = cheap(provider.url, "echo")

    async def ask(number: int) -> None:
        for _ in range(5):
            assert (await model.ainvoke(f"question {number}")).content == f"question {number}"

    async def all_of_them() -> None:
        await asyncio.gather(*(asyncio.to_thread(asyncio.run, ask(number)) for number in range(8)))

    asyncio.run(all_of_them())


def test_a_sync_call_is_refused_by_name(provider):
    with pytest.raises(TypeError, match="ainvoke"):
        cheap(provider.url, "echo").invoke("hello")


async def test_the_environment_names_no_organization(provider, monkeypatch):
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "leak-1")
    model = cheap(provider.url, "echo")
    await whole(model)
    await whole(cheap(provider.url, "echo", cheap=False))
    assert len(provider.requests("echo")) == 2
    assert not any("leak-1" in str(request.headers) for request in provider.requests("echo"))
    named = cheap(provider.url, "named", organization="org-1", project="proj-1")
    await whole(named)
    headers = provider.requests("named")[0].headers
    assert (headers["openai-organization"], headers["openai-project"]) == ("org-1", "proj-1")
    assert "key-1" not in repr(model) + str(model.model_dump())


def test_importing_the_package_imports_no_client(tmp_path):
    code = """
        import sys, moa_graph, moa_graph.models.openai_http
        assert not {"openai", "aiohttp", "langchain_openai"} & set(sys.modules), sorted(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, cwd=tmp_path, env=dict(os.environ))


async def test_a_callback_sees_every_token(provider):
    tokens: list[str] = []

    class Seen(AsyncCallbackHandler):
        async def on_llm_new_token(self, token, **kwargs):
            tokens.append(token)

    model = cheap(provider.url, "m-tok=8")
    config = RunnableConfig(callbacks=[Seen()])
    text = "".join([chunk.content async for chunk in model.astream(HELLO, config)])
    assert "".join(tokens) == text


async def test_chunks_that_come_together_are_put_together(provider):
    """Forty tokens in one read make a few chunks; paced ones come one by one; an error comes after its text."""
    at_once = [chunk async for chunk in cheap(provider.url, "m-tok=40").astream(HELLO)]
    paced = []
    # Up to three attempts: after a standstill of the machine the rest of a stream comes in one read.
    while len(paced) < 3 and max(paced, default=0) <= 10:
        chunks = [chunk async for chunk in cheap(provider.url, "m-tok=20-tps=100").astream(HELLO)]
        paced.append(len([chunk for chunk in chunks if chunk.content]))
    assert len([chunk for chunk in at_once if chunk.content]) == 3
    assert max(paced) > 10
    texts = []
    with pytest.raises(openai.APIError, match="loopback broke"):
        async for chunk in cheap(provider.url, "m-tok=20-errmid").astream(HELLO):
            texts.append(chunk.content)
    assert "".join(texts).startswith("[m-tok=20-errmid]")
