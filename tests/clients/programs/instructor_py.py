import instructor
from _run import ASK, BASE, V1, main
from anthropic import Anthropic
from openai import OpenAI
from pydantic import BaseModel


class City(BaseModel):
    name: str


def _with(mode):
    client = instructor.from_openai(OpenAI(base_url=V1, api_key="none"), mode=mode)
    return client.chat.completions.create(model="tools", messages=ASK, response_model=City)


def tools():
    assert isinstance(_with(instructor.Mode.TOOLS), City)


def json_schema():
    assert isinstance(_with(instructor.Mode.JSON_SCHEMA), City)


def anthropic_tools():
    client = instructor.from_anthropic(Anthropic(base_url=BASE, api_key="none"))
    answer = client.chat.completions.create(model="tools", max_tokens=99, messages=ASK, response_model=City)
    assert isinstance(answer, City)


main(globals())
