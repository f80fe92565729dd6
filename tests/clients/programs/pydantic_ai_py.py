from _run import ANSWER, BASE, V1, main
from anthropic import AsyncAnthropic
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url=V1, api_key="none")


class City(BaseModel):
    name: str


def chat():
    assert Agent(OpenAIChatModel("text", provider=provider)).run_sync("What is it?").output == ANSWER


def chat_structured():
    agent = Agent(OpenAIChatModel("tools", provider=provider), output_type=City)
    assert isinstance(agent.run_sync("Which city?").output, City)


def responses():
    assert Agent(OpenAIResponsesModel("text", provider=provider)).run_sync("What is it?").output == ANSWER


def responses_structured():
    agent = Agent(OpenAIResponsesModel("tools", provider=provider), output_type=City)
    assert isinstance(agent.run_sync("Which city?").output, City)


async def responses_stream():
    async with Agent(OpenAIResponsesModel("text", provider=provider)).run_stream("What is it?") as result:
        assert await result.get_output() == ANSWER


def anthropic():
    client = AsyncAnthropic(base_url=BASE, api_key="none")
    agent = Agent(AnthropicModel("text", provider=AnthropicProvider(anthropic_client=client)))
    assert agent.run_sync("What is it?").output == ANSWER


main(globals())
