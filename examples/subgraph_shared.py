"""A node of a graph that has `messages` too: it adds one answer, and its tokens stream with `subgraphs=True`."""

from collections.abc import Iterator
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.graph import START, MessagesState, StateGraph

from moa_graph import create_moa

moa = create_moa("local", output="answer")
graph = StateGraph(MessagesState).add_node("moa", moa).add_edge(START, "moa").compile()

question = MessagesState(messages=[HumanMessage("What is the capital of France?")])
parts: Iterator[Any] = graph.stream(question, stream_mode="messages", subgraphs=True)
for _, (message, _) in parts:
    print(message.text, end="", flush=True)  # only the aggregator's: proposers do not stream, drafts are not messages
print()
