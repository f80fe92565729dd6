"""Self-MoA: several samples of one model, and the same model over them."""

from moa_graph import create_moa

helper = {"model": "local:smollm2", "system": "You are a helpful assistant."}
graph = create_moa(
    proposers=[{**helper, "samples": 3, "temperature": 0.7, "max_tokens": 40}],
    aggregator={**helper, "temperature": 0, "max_tokens": 30},
    prompt="paper",
)
result = graph.invoke({"messages": "What is the capital of France?"})

print([draft["proposer"] for draft in result["drafts"]])
print("Answer:", result["messages"][-1].text)
