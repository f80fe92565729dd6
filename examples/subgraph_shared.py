"""A node of a graph that has `messages` too: it adds one answer, and its tokens stream with `subgraphs=True`."""

from langchain_core.messages import HumanMessage
from langgraph.graph import START, MessagesState, StateGraph

from moa_graph import create_moa

moa = create_moa("local", output="answer")
graph = StateGraph(MessagesState).add_node("moa", moa).add_edge(START, "moa").compile()

question = MessagesState(messages=[HumanMessage("What is the capital of France?")])
for _, part in graph.stream(question, stream_mode="messages", subgraphs=True):
    print(part[0].text, end="", flush=True)  # the aggregator's alone: proposers are silent, drafts are no messages
print()
