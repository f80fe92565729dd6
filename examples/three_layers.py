"""Three layers, as in the paper: two rounds of proposers, the second with the first one's drafts as references."""

from moa_graph import create_moa

graph = create_moa("local", layers=3)
result = graph.invoke({"messages": "Name three colours."}, context={"max_tokens": 30})

for draft in result["drafts"]:
    print(f"layer {draft['layer']}, {draft['proposer']}: {len(draft['text'])} characters")
print("Answer:", result["messages"][-1].text)
