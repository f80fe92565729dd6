"""Calls that must have no type error. Never run: `make types` checks this file with mypy and pyright."""

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage

from moa_graph import ChatMoA, Draft, Mixture, MoAContext, Proposer, create_moa


def mixtures(own: BaseChatModel) -> None:
    Mixture(proposers=["openai:x"], aggregator="openai:x")
    Mixture(proposers=["openai:x", own, {"model": "openai:y", "samples": 2}], aggregator=own, layers=3)
    Mixture(rounds=[["openai:x"], [own, Proposer("local:smollm2")]], aggregator=Proposer(model=own, name="last"))
    Mixture(proposers=("openai:x",), aggregator="openai:x", prices={"openai:x": [1.0, 2.0]})
    Mixture.load("local", layers=3)
    Mixture.load({"proposers": ["openai:x"], "aggregator": "openai:x"})
    Mixture.load("local").changed(deadline=3, quorum=1)
    Proposer("local:smollm2", max_tokens=60)


def graphs(own: BaseChatModel) -> list[Draft]:
    create_moa(proposers=["openai:x"], aggregator="openai:x", output="answer", name="ask")
    graph = create_moa("local", layers=3, system="Be kind.", aggregator=own)
    graph.invoke({"messages": "Name three fruits."})
    graph.invoke({"messages": [("user", "Name three fruits.")]})
    graph.invoke({"messages": [{"role": "user", "content": "Name three fruits."}]})
    graph.invoke({"messages": HumanMessage("Name three fruits.")})
    graph.invoke({"messages": [HumanMessage("Name three fruits."), AIMessage("Fig."), HumanMessage("More.")]})
    graph.invoke({"messages": "Name three fruits."}, context={"max_tokens": 60, "layers": 2})
    result = graph.invoke({"messages": "Name three fruits."}, context=MoAContext(quorum=1))
    drafts: list[Draft] = result["drafts"]
    return drafts


async def in_async_code() -> None:
    graph = create_moa("local")
    await graph.ainvoke({"messages": "Name three fruits."}, context={"temperature": 0.0})
    async for part in graph.astream({"messages": "Name three fruits."}, stream_mode="updates"):
        print(part)
    graph.batch([{"messages": "Name three fruits."}])


def chat_models(own: BaseChatModel) -> str:
    ChatMoA(proposers=[own], aggregator=own, temperature=0, max_retries=2, timeout=30, tags=["a"], cache=False)
    model = ChatMoA("local", layers=3)
    answer: AIMessage = model.invoke("Name three fruits.")
    chunks: list[AIMessageChunk] = [*model.stream("Name three fruits.")]
    return str(answer.text) + str(chunks)
