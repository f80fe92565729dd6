"""A graph with a context of its own: it does not affect the mixture, and a node sets what a run changes."""

from dataclasses import dataclass
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime

from moa_graph import create_moa

short = {"model": "local:smollm2", "system": "You are a helpful assistant.", "temperature": 0, "max_tokens": 16}
moa = create_moa(proposers=[short], aggregator=short, prompt="paper", output="answer")


@dataclass
class Customer:
    name: str
    layers: int


def chosen(state: MessagesState, runtime: Runtime[Customer]) -> Any:
    return moa.invoke(state, context={"layers": runtime.context.layers, "max_tokens": 12})


graph = StateGraph(MessagesState, context_schema=Customer)
graph.add_node("plain", moa)  # as a node it keeps to its mixture, whatever the context around it is
graph.add_node("chosen", chosen)
graph.add_edge(START, "plain").add_edge("plain", "chosen")

done = graph.compile().invoke(
    {"messages": [HumanMessage("What is the capital of France?")]}, context=Customer("Ann", layers=1)
)
print([message.type for message in done["messages"]], done["messages"][-1].text)
