"""Self-MoA: several samples of one model, and the same model over them."""

from moa_graph import create_moa

graph = create_moa(
    proposers=[{"model": "local:smollm2", "samples": 3, "temperature": 0.7, "max_tokens": 60}],
    aggregator={"model": "local:smollm2", "temperature": 0, "max_tokens": 100},
)
result = graph.invoke({"messages": "Name three animals."})

print([draft["proposer"] for draft in result["drafts"]])
print("Answer:", result["messages"][-1].text)
