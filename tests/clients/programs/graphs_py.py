"""Packages that build on LangChain or LangGraph, with a mixture in the same process."""

import os
import uuid

from _run import ANSWER, main
from langchain_core.tools import tool
from pydantic import BaseModel

from moa_graph import ChatMoA, create_moa

URL = os.environ["PROVIDER"]
MIXTURE = os.environ["MIXTURE"]
INPUT = {"messages": [{"role": "user", "content": "What is it?"}]}


class City(BaseModel):
    """A city."""

    name: str


def _chat(model):
    """A mixture whose aggregator is that model of the loopback provider."""
    return ChatMoA(MIXTURE, aggregator={"model": f"openai:{model}", "base_url": URL})


@tool
def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"warm in {city}"


def _kinds(state):
    return [message.type for message in state["messages"]]


def create_agent():
    from langchain.agents import create_agent as create

    state = create(_chat("agg"), [weather]).invoke(INPUT)
    assert _kinds(state) == ["human", "ai", "tool", "ai"], _kinds(state)


def create_agent_structured():
    from langchain.agents import create_agent as create

    state = create(_chat("agg"), [], response_format=City).invoke(INPUT)
    assert isinstance(state["structured_response"], City)


def moa_as_tool():
    from langchain.agents import create_agent as create
    from langchain_openai import ChatOpenAI

    graph = create_moa(MIXTURE, output="answer")

    @tool
    def ask_several(question: str) -> str:
        """Ask several models."""
        return str(graph.invoke({"messages": question})["messages"][-1].text)

    state = create(ChatOpenAI(model="agg", base_url=URL, api_key="none"), [ask_several]).invoke(INPUT)
    assert state["messages"][2].content == ANSWER


def deep_agent():
    from deepagents import create_deep_agent

    assert create_deep_agent(model=_chat("agg-notools-say=done"), tools=[weather]).invoke(INPUT)["messages"][-1].text


def deep_subagent():
    """A mixture is a sub-agent as it is."""
    from deepagents import CompiledSubAgent, create_deep_agent

    about = {"name": "several", "description": "Asks several models."}
    several = CompiledSubAgent(**about, runnable=create_moa(MIXTURE, output="answer"))
    call = '{"name": "task", "arguments": {"description": "What is it?", "subagent_type": "several"}}'
    state = create_deep_agent(model=_chat(f"call={_quoted(call)}-say=done"), subagents=[several]).invoke(INPUT)
    assert any(message.type == "tool" and ANSWER in message.text for message in state["messages"]), state


def _quoted(text):
    return "".join(f"%{ord(char):02X}" for char in text)


def supervisor():
    from langgraph_supervisor import create_supervisor

    worker = create_moa(MIXTURE, name="several", output="answer")
    call = _quoted('{"name": "transfer_to_several", "arguments": {}}')
    graph = create_supervisor([worker], model=_chat(f"call={call}-say=done")).compile()
    texts = [message.text for message in graph.invoke(INPUT)["messages"]]
    assert ANSWER in texts and texts[-1] == "done", texts


def swarm():
    from langchain.agents import create_agent as create
    from langgraph_swarm import create_handoff_tool, create_swarm

    call = _quoted('{"name": "transfer_to_several", "arguments": {}}')
    first = create(_chat(f"call={call}-say=done"), [create_handoff_tool(agent_name="several")], name="first")
    second = create_moa(MIXTURE, name="several", output="answer")
    state = create_swarm([first, second], default_active_agent="first").compile().invoke(INPUT)
    assert state["messages"][-1].text == ANSWER


async def ag_ui():
    """AG-UI (CopilotKit) puts its own keys into the context."""
    from ag_ui.core import RunAgentInput, UserMessage
    from ag_ui_langgraph import LangGraphAgent
    from langgraph.checkpoint.memory import InMemorySaver

    agent = LangGraphAgent(name="moa", graph=create_moa(MIXTURE, checkpointer=InMemorySaver()))
    messages = [UserMessage(id="1", role="user", content="What is it?")]
    ids = {"thread_id": str(uuid.uuid4()), "run_id": str(uuid.uuid4())}
    asked = RunAgentInput(**ids, messages=messages, state={}, tools=[], context=[], forwarded_props={})
    events = [event async for event in agent.run(asked)]
    kinds = [str(getattr(event.type, "value", event.type)) for event in events]
    assert "RUN_ERROR" not in kinds and kinds[-1] == "RUN_FINISHED", [events[-1], kinds]
    text = "".join(event.delta for event in events if hasattr(event, "delta") and isinstance(event.delta, str))
    assert ANSWER in text, kinds


def trustcall():
    from trustcall import create_extractor

    made = create_extractor(_chat("agg"), tools=[City], tool_choice="City").invoke(INPUT)
    assert isinstance(made["responses"][0], City)


main(globals())
