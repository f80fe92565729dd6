"""A mixture as one node of a larger graph: it adds exactly one message to the parent's."""

from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from moa_graph import create_moa


def shorten(state: MessagesState) -> dict:
    question = state["messages"][-1].text.strip()
    return {"messages": [{"role": "user", "content": f"{question} Answer in one sentence."}]}


parent = StateGraph(MessagesState)
parent.add_node("shorten", shorten)
parent.add_node("moa", create_moa("local", output="answer"))
parent.add_edge(START, "shorten")
parent.add_edge("shorten", "moa")
parent.add_edge("moa", END)

result = parent.compile().invoke({"messages": [HumanMessage("Why do cats sleep so much?")]})
for message in result["messages"]:
    print(f"{message.type}: {message.text}")
