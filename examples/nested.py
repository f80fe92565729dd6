"""A mixture as one proposer of another: a panel with one answer, beside single models."""

from moa_graph import ChatMoA, create_moa

short = {"model": "local:smollm2", "system": "You are a helpful assistant.", "temperature": 0, "max_tokens": 24}
panel = ChatMoA(name="panel", proposers=[{**short, "samples": 2}], aggregator=short, prompt="paper")
graph = create_moa(proposers=[panel, short], aggregator=short, prompt="paper")

result = graph.invoke({"messages": "What is the capital of France?"})
for draft in result["drafts"]:
    print(draft["model"], draft["usage"])  # the panel's tokens are those of all its models
print(result["messages"][-1].text)
