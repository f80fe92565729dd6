from _run import ANSWER, BASE, V1, main
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel


class City(BaseModel):
    """A city."""

    name: str


def openai(model="text", **fields):
    return ChatOpenAI(model=model, base_url=V1, api_key="none", **fields)


def chat():
    assert openai().invoke("What is it?").text == ANSWER


def chat_stream():
    assert "".join(chunk.text for chunk in openai().stream("What is it?")) == ANSWER


def chat_tools():
    assert openai("tools").bind_tools([City], tool_choice="any").invoke("Which?").tool_calls[0]["name"] == "City"


def chat_structured():
    assert isinstance(openai("tools").with_structured_output(City).invoke("Which city?"), City)


def responses():
    assert openai(use_responses_api=True).invoke("What is it?").text == ANSWER


def responses_stream():
    assert "".join(chunk.text for chunk in openai(use_responses_api=True).stream("What is it?")) == ANSWER


def responses_tools():
    model = openai("tools", use_responses_api=True).bind_tools([City], tool_choice="any")
    assert model.invoke("Which?").tool_calls[0]["name"] == "City"


def completions():
    assert OpenAI(model="text", base_url=V1, api_key="none").invoke("What is it?") == ANSWER


def anthropic():
    model = ChatAnthropic(model="text", base_url=BASE, api_key="none", max_tokens=99)
    assert model.invoke("What is it?").text == ANSWER


def anthropic_stream():
    model = ChatAnthropic(model="text", base_url=BASE, api_key="none", max_tokens=99)
    assert "".join(chunk.text for chunk in model.stream("What is it?")) == ANSWER


def anthropic_tools():
    model = ChatAnthropic(model="tools", base_url=BASE, api_key="none", max_tokens=99)
    assert model.bind_tools([City], tool_choice="any").invoke("Which?").tool_calls[0]["name"] == "City"


main(globals())
