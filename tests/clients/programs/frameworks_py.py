from _run import ANSWER, V1, main


def llama_index_chat():
    from llama_index.llms.openai_like import OpenAILike

    model = OpenAILike(model="text", api_base=V1, api_key="none", is_chat_model=True)
    assert str(model.complete("What is it?")) == ANSWER


def llama_index_stream():
    from llama_index.llms.openai_like import OpenAILike

    model = OpenAILike(model="text", api_base=V1, api_key="none", is_chat_model=True)
    assert "".join(chunk.delta for chunk in model.stream_complete("What is it?")) == ANSWER


def llama_index_completions():
    from llama_index.llms.openai_like import OpenAILike

    model = OpenAILike(model="text", api_base=V1, api_key="none", is_chat_model=False)
    assert str(model.complete("What is it?")) == ANSWER


def haystack():
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.dataclasses import ChatMessage
    from haystack.utils import Secret

    made = OpenAIChatGenerator(Secret.from_token("none"), model="text", api_base_url=V1)
    assert made.run([ChatMessage.from_user("What is it?")])["replies"][0].text == ANSWER


def dspy():
    import dspy

    model = dspy.LM("openai/text", api_base=V1, api_key="none", cache=False, num_retries=0)
    assert ANSWER in str(model("What is it?"))


def smolagents():
    from smolagents import OpenAIServerModel

    model = OpenAIServerModel("text", api_base=V1, api_key="none")
    assert model.generate([{"role": "user", "content": [{"type": "text", "text": "What?"}]}]).content == ANSWER


def agno():
    from agno.agent import Agent
    from agno.models.openai.like import OpenAILike

    agent = Agent(model=OpenAILike(id="text", base_url=V1, api_key="none"), telemetry=False)
    assert agent.run("What is it?").content == ANSWER


def inspect_ai():
    import asyncio

    from inspect_ai.model import get_model

    model = get_model("openai-api/moa/text", base_url=V1, api_key="none")
    assert asyncio.run(model.generate("What is it?")).completion == ANSWER


main(globals())
