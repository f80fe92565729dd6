"""A mixture where a chat model is expected: streamed, with its tokens counted, its answer in a given form."""

from langchain_core.messages import AIMessageChunk

from moa_graph import ChatMoA

model = ChatMoA("local", max_tokens=40)  # fields of the mixture, and temperature, stop, timeout, max_retries

whole = AIMessageChunk(content="")
for chunk in model.stream("What is the capital of France?"):
    print(chunk.text, end="", flush=True)
    whole += chunk

print("\ntokens of all calls:", whole.usage_metadata)
for draft in whole.response_metadata["drafts"]:
    print(draft["proposer"], draft["status"])

# With a model that can: model.bind_tools([...]) and model.with_structured_output(Schema). Proposers advise in words,
# the aggregator acts.
