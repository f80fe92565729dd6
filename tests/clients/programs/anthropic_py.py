from _run import ANSWER, ASK, BASE, WEATHER, main
from anthropic import Anthropic, AsyncAnthropic

client = Anthropic(base_url=BASE, api_key="none", max_retries=0)
TOOLS = [{"name": "weather", "description": "Weather.", "input_schema": WEATHER}]


def create():
    assert client.messages.create(model="text", max_tokens=99, messages=ASK).content[0].text == ANSWER


async def create_async():
    answer = await AsyncAnthropic(base_url=BASE, api_key="none").messages.create(
        model="text", max_tokens=99, messages=ASK
    )
    assert answer.content[0].text == ANSWER


def stream():
    with client.messages.stream(model="text", max_tokens=99, messages=ASK) as events:
        assert "".join(events.text_stream) == ANSWER


def tools():
    answer = client.messages.create(
        model="tools", max_tokens=99, messages=ASK, tools=TOOLS, tool_choice={"type": "any"}
    )
    call = next(block for block in answer.content if block.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "warm"}
    turns = [*ASK, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    assert client.messages.create(model="tools", max_tokens=99, messages=turns, tools=TOOLS).content[0].text


def count_tokens():
    assert client.messages.count_tokens(model="text", messages=ASK).input_tokens > 0


main(globals())
