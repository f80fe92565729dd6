"""The caller's messages: what is refused, and what is passed on."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from moa_graph.errors import InputError
from moa_graph.graph.conversation import passed_on
from moa_graph.graph.input_checks import check
from moa_graph.models.thoughts import clean, encodable


def image(url: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": url}}]


GOOD, EVIL = "https://example.com/a.png", "http://169.254.169.254/latest"

REFUSED: list[tuple[list[BaseMessage], str]] = [
    ([], "there are none"),
    ([HumanMessage("")], "blank"),
    ([HumanMessage(" \n\t")], "blank"),
    ([HumanMessage("\0")], "blank"),
    ([HumanMessage([])], "blank"),
    ([SystemMessage("s")], "no question"),
    ([AIMessage("a")], "no question"),
    ([HumanMessage("first"), AIMessage("a"), HumanMessage(" ")], "blank"),
    ([HumanMessage([{"type": "video", "url": "https://x.example/v"}])], "video"),
    *(
        ([HumanMessage(image(url))], "image address")
        for url in [
            "file:///etc/passwd",
            "http://example.com/a.png",
            "https://169.254.169.254/latest/meta-data",
            "https://[fe80::1]/a.png",
            "https://[::ffff:169.254.169.254]/a.png",
            "https://2852039166/",
            "https://0xa9fea9fe/",
            "https://metadata.google.internal/",
            "https://localhost/a.png",
            "https://127.0.0.1/a.png",
            "https://10.0.0.1/a.png",
            "https://printer/a.png",
            "data:text/html,<script>",
            "ftp://example.com/a.png",
        ]
    ),
    *(
        ([HumanMessage([{"type": "text", "text": "what is this?"}, block])], r"image address 'http://169\.254")
        for block in [
            {"type": "image", "image_url": GOOD, "url": EVIL},
            {"type": "image", "image_url": EVIL, "url": GOOD},
            {"type": "image_url", "image_url": {"url": GOOD}, "url": EVIL},
            {"type": "image", "base64": "AAAA", "mime_type": "image/png", "url": EVIL},
            {"type": "image", "base64": "AAAA", "source": {"type": "url", "url": EVIL}},
            {"type": "image", "data": "AAAA", "extras": {"image_url": {"url": EVIL}}},
        ]
    ),
]


@pytest.mark.parametrize(("messages", "reason"), REFUSED)
def test_unanswerable_messages_are_refused_with_their_reason(messages: list[BaseMessage], reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        check(messages)
    assert str(caught.value).startswith("messages: ")


@pytest.mark.parametrize(
    "messages",
    [
        [HumanMessage("q")],
        [SystemMessage("s"), HumanMessage("q")],
        [HumanMessage("q"), AIMessage("a")],
        [HumanMessage(image("https://example.com/a.png"))],
        [HumanMessage(image("data:image/png;base64,AAAA"))],
        [HumanMessage([{"type": "image", "base64": "AAAA", "mime_type": "image/png"}])],
        [HumanMessage("q"), ToolMessage("", tool_call_id="1")],
    ],
)
def test_answerable_messages_pass(messages: list[BaseMessage]) -> None:
    check(messages)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("<think>no</think> yes ", "yes"),
        ("<THINKING>no</THINKING>yes", "yes"),
        (" <think>no</think>\n<reasoning>nor this</reasoning>\n\nyes", "yes"),
        ("<think>never closed", ""),
        ("no\n</think>\n\nyes", "yes"),
        ("no\n</think>\nyes", "yes"),
        ("it is 4.</think>\n\nyes", "yes"),
        ("it is 4.</think>4", "4"),
        ("</think>yes", "yes"),
        ("</think>\n\nyes", "yes"),
        ("no, not yet\n</think>", ""),
        ("a\0b", "ab"),
        ("lone \ud800 half", "lone � half"),
        ("😀 é", "😀 é"),
        ("plain", "plain"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    clean(text).encode()


@pytest.mark.parametrize(
    "text",
    [
        "Put the steps in a `<thinking>` tag first. Then answer.",
        "yes <think>is a tag</think> and goes on",
        "Models write <reasoning>...</reasoning> before they answer.",
        "Servers may return a lone </think>, which ends the thought.",
        'Use text.split("</think>") and take the rest.\n\nThat is all.',
        "A prompt:\n\n<think>\nsteps\n</think>\n\nand the rest of it",
        "Close with `</think>`\n\nand go on.",
    ],
)
def test_an_answer_about_the_tags_is_kept_whole(text: str) -> None:
    assert clean(text) == text


def test_encodable_keeps_what_can_be_sent() -> None:
    assert encodable("a😀\udc00b\0") == "a😀�b"


def test_assistant_turns_are_text_without_thoughts() -> None:
    said = AIMessage(
        [{"type": "reasoning", "reasoning": "secret"}, {"type": "text", "text": "<think>hm</think>Paris"}],
        additional_kwargs={"reasoning_content": "secret"},
    )
    assert passed_on([said])[0].content == "Paris"
    assert not passed_on([said])[0].additional_kwargs


def test_tool_turns_become_text_for_models_without_the_tools() -> None:
    call = {"name": "weather", "args": {"city": "Oslo"}, "id": "c1"}
    messages = [AIMessage("", tool_calls=[call]), ToolMessage("rain", tool_call_id="c1", name="weather")]
    said, result = passed_on(messages)
    assert said.content == '[Called the tool weather with {"city": "Oslo"}]'
    assert (result.type, result.content) == ("human", "[Result of the tool weather]\nrain")


def test_tool_turns_stay_for_the_model_that_has_them_unless_unanswered() -> None:
    answered = {"name": "weather", "args": {}, "id": "c1"}
    orphan = {"name": "weather", "args": {}, "id": "c2"}
    messages = [
        AIMessage("", tool_calls=[answered]),
        ToolMessage("rain", tool_call_id="c1"),
        AIMessage("", tool_calls=[orphan]),
        ToolMessage("lost", tool_call_id="c9"),
    ]
    kept = passed_on(messages, keep_tools=True)
    assert [m.type for m in kept] == ["ai", "tool", "ai", "human"]
    assert isinstance(kept[0], AIMessage) and kept[0].tool_calls
    assert isinstance(kept[2], AIMessage) and not kept[2].tool_calls


def test_images_reach_the_model() -> None:
    message = HumanMessage(image("https://example.com/a.png"))
    assert passed_on([message])[0].content == message.content
