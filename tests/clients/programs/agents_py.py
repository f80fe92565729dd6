from _run import ANSWER, V1, main
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI

set_tracing_disabled(True)
client = AsyncOpenAI(base_url=V1, api_key="none")


@function_tool
def weather(city: str) -> str:
    """Return the weather."""
    return f"warm in {city}"


async def responses():
    """The default model class."""
    agent = Agent(name="a", model=OpenAIResponsesModel("text", client))
    assert (await Runner.run(agent, "What is it?")).final_output == ANSWER


async def responses_tools():
    agent = Agent(name="a", model=OpenAIResponsesModel("tools", client), tools=[weather])
    result = await Runner.run(agent, "What is it?", max_turns=3)
    assert any(item.type == "tool_call_output_item" for item in result.new_items)


async def responses_stream():
    agent = Agent(name="a", model=OpenAIResponsesModel("text", client))
    result = Runner.run_streamed(agent, "What is it?")
    async for _event in result.stream_events():
        pass
    assert result.final_output == ANSWER


async def chat():
    agent = Agent(name="a", model=OpenAIChatCompletionsModel("text", client))
    assert (await Runner.run(agent, "What is it?")).final_output == ANSWER


async def chat_tools():
    agent = Agent(name="a", model=OpenAIChatCompletionsModel("tools", client), tools=[weather])
    result = await Runner.run(agent, "What is it?", max_turns=3)
    assert any(item.type == "tool_call_output_item" for item in result.new_items)


main(globals())
