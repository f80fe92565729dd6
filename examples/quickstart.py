"""One question through a mixture; the embedded model, so no key is needed."""

from moa_graph import create_moa

graph = create_moa("local")
result = graph.invoke({"messages": "What is the capital of France?"})

for draft in result["drafts"]:
    print(f"{draft['proposer']} ({draft['status']}): {draft['text']}")
print("Answer:", result["messages"][-1].text)
print("Calls:", result["record"]["calls"])
