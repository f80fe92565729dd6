from _run import ANSWER, ASK, TOOL, V1, WEATHER, main
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

client = OpenAI(base_url=V1, api_key="none", max_retries=0)
RTOOL = {"type": "function", "name": "weather", "description": "Weather.", "parameters": WEATHER}


class City(BaseModel):
    name: str


def models():
    assert "text" in [model.id for model in client.models.list()]


def chat():
    assert client.chat.completions.create(model="text", messages=ASK).choices[0].message.content == ANSWER


async def chat_async():
    answer = await AsyncOpenAI(base_url=V1, api_key="none").chat.completions.create(model="text", messages=ASK)
    assert answer.choices[0].message.content == ANSWER


def chat_stream():
    chunks = client.chat.completions.create(model="text", messages=ASK, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == ANSWER


def chat_stream_helper():
    with client.chat.completions.stream(model="text", messages=ASK) as stream:
        assert stream.get_final_completion().choices[0].message.content == ANSWER


def chat_tools():
    answer = client.chat.completions.create(model="tools", messages=ASK, tools=[TOOL], tool_choice="required")
    assert answer.choices[0].message.tool_calls[0].function.name == "weather"


def chat_parse():
    answer = client.chat.completions.parse(model="tools", messages=ASK, response_format=City)
    assert isinstance(answer.choices[0].message.parsed, City)


def chat_json_object():
    ask = [{"role": "user", "content": "Give JSON with the key 'name'."}]
    answer = client.chat.completions.create(model="tools", messages=ask, response_format={"type": "json_object"})
    assert "name" in answer.choices[0].message.content


def responses_create():
    assert client.responses.create(model="text", input="What is it?").output_text == ANSWER


def responses_stream():
    with client.responses.stream(model="text", input="What is it?") as stream:
        assert stream.get_final_response().output_text == ANSWER


def responses_parse():
    answer = client.responses.parse(model="tools", input="Which city?", text_format=City)
    assert isinstance(answer.output_parsed, City)


def responses_tools():
    answer = client.responses.create(model="tools", input="What is it?", tools=[RTOOL], tool_choice="required")
    call = next(item for item in answer.output if item.type == "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "warm"}
    again = client.responses.create(model="tools", input=[*ASK, call, result], tools=[RTOOL])
    assert again.output_text


def completions():
    assert client.completions.create(model="text", prompt="What is it?").choices[0].text == ANSWER


main(globals())
