"""A graph with a state of its own: a function passes on what the mixture is to answer, and keeps what it needs."""

from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from moa_graph import create_moa

moa = create_moa("local", max_attempts=1)


class Review(TypedDict):
    text: str
    verdict: str
    voices: int


async def review(state: Review) -> dict:
    done = await moa.ainvoke({"messages": f"Is this sentence kind? {state['text']}"}, context={"max_tokens": 30})
    return {"verdict": done["messages"][-1].text, "voices": len(done["record"]["used"])}


if __name__ == "__main__":
    import asyncio

    graph = StateGraph(Review).add_node("review", review).add_edge(START, "review").compile()
    print(asyncio.run(graph.ainvoke({"text": "Thank you for coming.", "verdict": "", "voices": 0})))
