"""Wrong options of a call of ChatMoA are refused before anything is paid for."""

from typing import Any

import pytest

from moa_graph import ChatMoA, ConfigError
from tests.fakes import fake

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": "hot"}, 'ChatMoA.temperature: expected a number from 0 to 2, got "hot".'),
        ({"temperature": 9}, "ChatMoA.temperature: expected a number from 0 to 2, got 9."),
        ({"max_tokens": 0}, "ChatMoA.max_tokens: expected a whole number from 1"),
        ({"max_tokens": "x"}, 'ChatMoA.max_tokens: expected a whole number from 1 to 1,000,000, got "x".'),
        ({"stop": 5}, "ChatMoA.stop: expected text or a list"),
        ({"response_format": "json"}, "ChatMoA.response_format: expected"),
        ({"tools": [TOOL], "tool_choice": "other"}, 'ChatMoA.tool_choice: "other" is not a tool of this call.'),
        ({"tools": [TOOL], "tool_choice": 5}, "ChatMoA.tool_choice: expected"),
    ],
)
async def test_a_wrong_option_is_refused_before_any_request(options: dict[str, Any], words: str) -> None:
    drafts, answer = fake("draft"), fake("answer")
    with pytest.raises(ConfigError) as caught:
        await ChatMoA(proposers=[drafts], aggregator=answer).ainvoke("q", **options)
    assert str(caught.value).startswith(words)
    assert not drafts.sent and not answer.sent


@pytest.mark.parametrize("options", [{"temperature": 0}, {"max_tokens": 5, "stop": ["x"]}, {"stop": "x"}])
async def test_a_right_option_passes(options: dict[str, Any]) -> None:
    assert (await ChatMoA(proposers=[fake("draft")], aggregator=fake("answer")).ainvoke("q", **options)).text
