"""A mixture as one proposer of another: a panel with one answer, beside single models."""

from moa_graph import ChatMoA, create_moa

short = {"model": "local:smollm2", "max_tokens": 16}
panel = ChatMoA(name="panel", proposers=[{**short, "samples": 2}], aggregator=short)
graph = create_moa(proposers=[panel, short], aggregator=short)

result = graph.invoke({"messages": "How do I make tea?"})
for draft in result["drafts"]:
    print(draft["model"], draft["usage"])  # the panel's tokens are those of all its models
print(result["messages"][-1].text)
