"""A node of a graph that has `messages` too: it adds one answer, and its tokens stream with `subgraphs=True`."""

from langgraph.graph import START, MessagesState, StateGraph

from moa_graph import create_moa

moa = create_moa("local", output="answer")
graph = StateGraph(MessagesState).add_node("moa", moa).add_edge(START, "moa").compile()

question = {"messages": "What is the capital of France?"}
for _, (token, _about) in graph.stream(question, stream_mode="messages", subgraphs=True):
    print(token.text, end="", flush=True)  # the aggregator's alone: proposers are silent, drafts are no messages
print()
