import aisuite
from _run import ANSWER, ASK, V1, main


def chat():
    client = aisuite.Client({"openai": {"base_url": V1, "api_key": "none"}})
    assert client.chat.completions.create(model="openai:text", messages=ASK).choices[0].message.content == ANSWER


main(globals())
