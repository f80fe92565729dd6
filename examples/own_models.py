"""Your own LangChain chat models and prompts, one of them with its own instructions."""

from moa_graph import Proposer, create_moa
from moa_graph.models.local import local_chat_model

# Any LangChain chat model will do: ChatOpenAI(...), ChatAnthropic(...), ChatOllama(...).
mine = local_chat_model("smollm2", temperature=0, max_tokens=60)

graph = create_moa(
    proposers=[
        Proposer(model=mine, name="plain"),
        Proposer(model=mine, name="cook", system="You are a cook. Answer in one sentence."),
        "local:smollm2",
    ],
    aggregator=Proposer(model=mine, system="Answer in two sentences."),
    system="Be polite.",
    prompt="paper",
)
result = graph.invoke({"messages": [("user", "What can I do with apples?")]}, context={"max_tokens": 60})

print(result["messages"][-1].text)
