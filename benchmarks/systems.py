"""Several implementations of Mixture-of-Agents that make the same calls: n proposers a round, then a streamed
aggregator.

`raw` is the yardstick: the least that Python needs. `script` is what one writes with the SDK, `skeleton` what one
writes first with LangGraph. Imports are made inside, so that each system pays for its own.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

PROMPT = (
    "You have been provided with a set of responses from various open-source models to the latest user query. Your "
    "task is to synthesize these responses into a single, high-quality response. It is crucial to critically evaluate "
    "the information provided in these responses, recognizing that some of it may be biased or incorrect. Your "
    "response should not simply replicate the given answers but should offer a refined, accurate, and comprehensive "
    "reply to the instruction. Ensure your response is well-structured, coherent, and adheres to the highest "
    "standards of accuracy and reliability.\n\nResponses from models:"
)
SAMPLING = {"temperature": 0.7, "max_tokens": 4096}
OnToken = Callable[[str], None]
Answers = Callable[[list[dict[str, str]]], Awaitable[str]]


@dataclass(frozen=True)
class Task:
    """Where the models are and what they are called. `rounds` are rounds of proposers."""

    base: str
    proposers: Sequence[str]
    aggregator: str
    rounds: int = 1
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.base}/v1"

    @property
    def calls(self) -> int:
        return len(self.proposers) * self.rounds + 1


@dataclass(frozen=True)
class System:
    """A system that answers questions."""

    ask: Callable[[str, OnToken], Awaitable[str]]
    close: Callable[[], Awaitable[None]]


def task(base: str, *, n: int = 4, rounds: int = 1, latency: str = "0ms", tok: int = 64, **options: Any) -> Task:
    """The benchmark's usual models: all alike."""
    names = [f"p{i}-{latency}-tok={tok}" for i in range(n)]
    return Task(base, names, f"agg-{latency}-tok={tok}", rounds, options)


def messages(question: str, drafts: Sequence[str]) -> list[dict[str, str]]:
    """What a model is shown: the question, and the drafts as the paper numbers them."""
    asked = {"role": "user", "content": question}
    if not drafts:
        return [asked]
    shown = "\n".join(f"{i + 1}. {draft}" for i, draft in enumerate(drafts))
    return [{"role": "system", "content": f"{PROMPT}\n{shown}"}, asked]


async def nothing() -> None:
    """Do nothing; for systems without connections."""


class Raw:
    """A minimal client: aiohttp, orjson and a split at blank lines."""

    def __init__(self, url: str) -> None:
        import aiohttp

        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=90),
            headers={"authorization": "Bearer x", "content-type": "application/json"},
        )
        self.url = f"{url}/chat/completions"

    async def complete(self, model: str, shown: list[dict[str, str]]) -> str:
        import orjson

        body = orjson.dumps({"model": model, "messages": shown, **SAMPLING})
        async with self.session.post(self.url, data=body, raise_for_status=True) as answer:
            return str(orjson.loads(await answer.read())["choices"][0]["message"]["content"])

    async def stream(self, model: str, shown: list[dict[str, str]]) -> AsyncIterator[str]:
        import orjson

        body = orjson.dumps({"model": model, "messages": shown, "stream": True, **SAMPLING})
        async with self.session.post(self.url, data=body, raise_for_status=True) as answer:
            rest = b""
            async for data in answer.content.iter_any():
                *events, rest = (rest + data).split(b"\n\n")
                for event in events:
                    if event.startswith(b"data: {"):
                        choices = orjson.loads(event[6:])["choices"]
                        if choices and (text := choices[0]["delta"].get("content")):
                            yield text

    async def close(self) -> None:
        await self.session.close()


class Sdk:
    """AsyncOpenAI, used as in its documentation."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def complete(self, model: str, shown: list[dict[str, str]]) -> str:
        answer = await self.client.chat.completions.create(model=model, messages=shown, **SAMPLING)
        return str(answer.choices[0].message.content)

    async def stream(self, model: str, shown: list[dict[str, str]]) -> AsyncIterator[str]:
        stream = await self.client.chat.completions.create(model=model, messages=shown, stream=True, **SAMPLING)
        async for chunk in stream:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                yield text

    async def close(self) -> None:
        await self.client.close()


def gathered(client: Raw | Sdk, given: Task) -> System:
    """The plain script: asyncio.gather over the proposers, then the aggregator's stream."""

    async def ask(question: str, on_token: OnToken) -> str:
        drafts: Sequence[str] = ()
        for _ in range(given.rounds):
            shown = messages(question, drafts)
            drafts = await asyncio.gather(*(client.complete(model, shown) for model in given.proposers))
        texts = []
        async for text in client.stream(given.aggregator, messages(question, drafts)):
            texts.append(text)
            on_token(text)
        return "".join(texts)

    return System(ask, client.close)


def raw(given: Task) -> System:
    return gathered(Raw(given.url), given)


def script(given: Task) -> System:
    import openai

    return gathered(Sdk(openai.AsyncOpenAI(base_url=given.url, api_key="x", max_retries=0)), given)


def patient(given: Task) -> System:
    """The script with ten minutes to connect in, where the SDK's 5 seconds would lose questions in a crowd."""
    import openai

    return gathered(Sdk(openai.AsyncOpenAI(base_url=given.url, api_key="x", max_retries=0, timeout=600.0)), given)


def together(given: Task) -> System:
    """The same with Together's own SDK (a peer: `make bench-peers`)."""
    from together import AsyncTogether

    return gathered(Sdk(AsyncTogether(base_url=given.url, api_key="x", max_retries=0)), given)


def skeleton(given: Task) -> System:
    """The LangGraph graph that one writes first: a node per proposer, ChatOpenAI, `stream_mode="messages"`."""
    graph = _skeleton_graph(given)

    async def ask(question: str, on_token: OnToken) -> str:
        texts = []
        options = given.options
        async for chunk, about in graph.astream({"question": question}, stream_mode="messages", **options):
            if about["langgraph_node"] == "aggregate" and chunk.content:
                texts.append(chunk.content)
                on_token(chunk.content)
        return "".join(texts)

    return System(ask, nothing)


def _skeleton_graph(given: Task) -> Any:
    from langchain_openai import ChatOpenAI

    def model(name: str) -> Answers:
        chat = ChatOpenAI(base_url=given.url, api_key="x", model=name, max_retries=0, **SAMPLING)

        async def answer(shown: list[dict[str, str]]) -> Any:
            return (await chat.ainvoke(shown)).content

        return answer

    return _plain_graph(given.rounds, [model(name) for name in given.proposers], model(given.aggregator))


def _plain_graph(rounds: int, proposers: Sequence[Answers], last: Answers) -> Any:
    """A node per proposer, a gate that counts rounds, an aggregator. Each calls its model and writes the reply."""
    import operator

    from langgraph.graph import END, START, StateGraph
    from typing_extensions import TypedDict

    class State(TypedDict, total=False):
        question: str
        round: int
        drafts: Annotated[list[tuple[int, int, str]], operator.add]
        answer: str

    def drafts(state: Any) -> list[str]:
        return [text for made, _, text in sorted(state.get("drafts") or []) if made == state.get("round", 0) - 1]

    def proposer(slot: int, answers: Answers) -> Any:
        async def propose(state: State) -> Any:
            answer = await answers(messages(state["question"], drafts(state)))
            return {"drafts": [(state.get("round", 0), slot, answer)]}

        return propose

    async def aggregate(state: State) -> Any:
        return {"answer": await last(messages(state["question"], drafts(state)))}

    graph = StateGraph(State)
    names = [f"p{slot}" for slot in range(len(proposers))]
    for slot, name in enumerate(names):
        graph.add_node(name, proposer(slot, proposers[slot]))
        graph.add_edge(START, name)
    graph.add_node("gate", lambda state: {"round": state.get("round", 0) + 1})
    graph.add_node("aggregate", aggregate)
    graph.add_edge(names, "gate")
    graph.add_conditional_edges(
        "gate", lambda state: names if state["round"] < rounds else "aggregate", [*names, "aggregate"]
    )
    graph.add_edge("aggregate", END)
    return graph.compile()


def bare(given: Task) -> System:
    """The floor under any graph: the skeleton's nodes and edges over `raw`'s client, and nothing besides.

    No chat models, so no traces of calls, no messages; no errors, retries or deadlines. What LangGraph itself takes.
    """
    from langgraph.config import get_stream_writer

    client = Raw(given.url)

    async def last(shown: list[dict[str, str]]) -> str:
        write, texts = get_stream_writer(), []
        async for text in client.stream(given.aggregator, shown):
            texts.append(text)
            write(text)
        return "".join(texts)

    proposers = [functools.partial(client.complete, name) for name in given.proposers]
    graph = _plain_graph(given.rounds, proposers, last)

    async def ask(question: str, on_token: OnToken) -> str:
        texts = []
        async for text in graph.astream({"question": question}, stream_mode="custom"):
            texts.append(text)
            on_token(text)
        return "".join(texts)

    return System(ask, client.close)


def moa(given: Task) -> System:
    """moa_graph as it comes: nothing switched off, the answer streamed as messages."""
    graph = moa_graph(given)

    async def ask(question: str, on_token: OnToken) -> str:
        texts = []
        asked = {"messages": [{"role": "user", "content": question}]}
        async for chunk, _ in graph.astream(asked, stream_mode="messages", **given.options):
            if chunk.content:
                texts.append(chunk.content)
                on_token(chunk.content)
        return "".join(texts)

    return System(ask, nothing)


def moa_graph(given: Task, **fields: Any) -> Any:
    """The compiled graph of `moa`."""
    from moa_graph import Proposer, create_moa

    def spec(name: str) -> Proposer:
        return Proposer(model=f"openai:{name}", base_url=given.url, **SAMPLING)

    return create_moa(
        proposers=[spec(name) for name in given.proposers],
        aggregator=spec(given.aggregator),
        layers=given.rounds + 1,
        **fields,
    )


SYSTEMS: dict[str, Callable[[Task], System]] = {
    "raw": raw,
    "script": script,
    "patient": patient,
    "skeleton": skeleton,
    "bare": bare,
    "moa": moa,
}
