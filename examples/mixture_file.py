"""A mixture from a file, streamed: what happens, as it happens, then the answer's tokens."""

from pathlib import Path

from moa_graph import create_moa

graph = create_moa(Path(__file__).parent / "mixture_file.yaml")
question = "What is the capital of France?"

for event in graph.stream({"messages": question}, context={"stream_answer": True}, stream_mode="custom"):
    if event["moa"] == "draft":
        print(f"[{event['proposer']}: {event['draft']['status']}]")
    elif event["moa"] == "answer_token":
        print(event["text"], end="", flush=True)
print()
