import litellm
from _run import ANSWER, ASK, BASE, TOOL, V1, main

KEY = {"api_base": V1, "api_key": "none", "num_retries": 0}


def chat():
    assert litellm.completion("openai/text", ASK, **KEY).choices[0].message.content == ANSWER


def chat_stream():
    chunks = litellm.completion("openai/text", ASK, stream=True, **KEY)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER


def chat_tools():
    answer = litellm.completion("openai/tools", ASK, tools=[TOOL], tool_choice="required", **KEY)
    assert answer.choices[0].message.tool_calls[0].function.name == "weather"


def responses():
    answer = litellm.responses(input="What is it?", model="openai/text", **KEY)
    assert answer.output[-1].content[0].text == ANSWER


async def messages_over_openai():
    answer = await litellm.anthropic.messages.acreate(
        model="openai/text", max_tokens=99, messages=ASK, api_base=V1, api_key="none"
    )
    assert answer["content"][0]["text"] == ANSWER


def anthropic():
    answer = litellm.completion("anthropic/text", ASK, api_base=BASE, api_key="none", max_tokens=99)
    assert answer.choices[0].message.content == ANSWER


main(globals())
