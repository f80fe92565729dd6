"""The caller's messages: validation, and what models receive."""

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.content import is_data_content_block
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from moa_graph import create_moa
from moa_graph.errors import InputError
from moa_graph.graph.checks.addresses import is_public_https
from moa_graph.graph.checks.messages import check
from moa_graph.graph.prompts.conversation import NO_ANSWER, passed_on
from moa_graph.graph.prompts.media import Abilities
from moa_graph.graph.prompts.own_turns import OwnTurns, own_turns
from moa_graph.models.reply import fields
from moa_graph.models.reply.fields import encodable
from moa_graph.models.reply.thoughts import clean
from moa_graph.state import add_checked
from tests.fakes import fake
from tests.faults.foreign import Own

BLOCK: dict[str, Any] = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
TURNS: list[tuple[list[BaseMessage], list[BaseMessage]]] = [
    ([HumanMessage("a"), HumanMessage(""), HumanMessage("b")], [HumanMessage("a\n\nb")]),
    ([HumanMessage("a", name="x"), HumanMessage("b", name="x")], [HumanMessage("a\n\nb", name="x")]),
    (
        [HumanMessage("a", name="x"), HumanMessage("b", name="x"), HumanMessage("c"), HumanMessage("d", name="x")],
        [HumanMessage("[x]\na\n\nb\n\nc\n\n[x]\nd")],
    ),
    ([HumanMessage("a"), HumanMessage("b", name="x"), HumanMessage("c")], [HumanMessage("a\n\n[x]\nb\n\nc")]),
    (
        [HumanMessage("a"), HumanMessage("b"), HumanMessage([BLOCK]), HumanMessage("c"), HumanMessage("d")],
        [
            HumanMessage(
                [{"type": "text", "text": text} if text else BLOCK for text in ("a\n\nb", "", "\n\nc", "\n\nd")]
            )
        ],
    ),
    (
        [HumanMessage([BLOCK], name="x"), HumanMessage("b")],
        [HumanMessage([{"type": "text", "text": "[x]"}, BLOCK, {"type": "text", "text": "\n\nb"}])],
    ),
    (
        [HumanMessage("q"), AIMessage("a"), AIMessage("b", name="y"), HumanMessage("c"), HumanMessage("d")],
        [HumanMessage("q"), AIMessage("a\n\nb", name="y"), HumanMessage("c\n\nd")],
    ),
]


@pytest.mark.parametrize(("given", "sent"), TURNS)
def test_neighbours_of_one_role_are_one_turn(given: list[BaseMessage], sent: list[BaseMessage]) -> None:
    found = passed_on(given)
    assert [(m.type, m.content, m.name) for m in found] == [(m.type, m.content, m.name) for m in sent]


@pytest.mark.parametrize("kind", [HumanMessage, AIMessage])
def test_neighbours_are_joined_in_linear_time(kind: type[BaseMessage]) -> None:
    def seconds(count: int) -> float:
        turns = [HumanMessage("q"), *[kind(content="x" * 3000, name="a")] * count]
        began = time.process_time()
        passed_on(turns)
        return time.process_time() - began

    seconds(10)
    small = min(seconds(500) for _ in range(3))
    # Eight times as many: quadratic time would be 64 times as long.
    assert seconds(4000) < 24 * small + 0.05


async def test_the_types_of_data_blocks_are_looked_up_once() -> None:
    """LangChain does so for every block of every call, for 0.3 ms each."""
    await create_moa(proposers=[Own()], aggregator=Own()).ainvoke({"messages": "why?"})
    began = time.process_time()
    assert all(is_data_content_block({"type": "image", "url": GOOD}) for _ in range(10_000))
    assert not is_data_content_block({"type": "text", "text": "a"})
    assert time.process_time() - began < 0.5


def image(url: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": url}}]


GOOD, EVIL = "https://example.com/a.png", "http://169.254.169.254/latest"

REFUSED: list[tuple[list[BaseMessage], str]] = [
    ([], "there are none"),
    ([HumanMessage("")], "blank"),
    ([HumanMessage(" \n\t")], "blank"),
    ([HumanMessage("\0")], "blank"),
    ([HumanMessage([])], "blank"),
    ([SystemMessage(" ")], "blank"),
    ([SystemMessage("s"), AIMessage("a")], "no question"),
    ([HumanMessage([{"type": "image", "source": {"type": "base64"}}])], "neither data nor an address"),
    ([HumanMessage([{"type": "file", "file": {"type": "x", "text": 5}}])], "neither data nor an address"),
    ([HumanMessage([{"type": "input_audio", "input_audio": {"content": "x"}}])], "neither data nor an address"),
    ([HumanMessage([{"type": "file", "url": "https://10.0.0.1/a.pdf"}])], "file address"),
    ([HumanMessage([{"type": "document", "source": {"type": "url", "url": "file:///etc/passwd"}}])], "file address"),
    ([HumanMessage([{"type": "image_url", "image_url": {"url": {"url": GOOD}}}])], "address of the image block must"),
    ([HumanMessage([{"type": "file", "url": {"url": GOOD}}])], "address of the file block must be text"),
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
        ([HumanMessage([{"type": "text", "text": "what is this?"}, block])], r'image address "http://169\.254')
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
    assert str(caught.value).startswith(("messages: ", "messages[0].content["))


@pytest.mark.parametrize(
    "messages",
    [
        [HumanMessage("q")],
        [SystemMessage("s"), HumanMessage("q")],
        [SystemMessage("s")],
        [HumanMessage([{"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}])],
        [HumanMessage([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}])],
        [HumanMessage("q"), ToolMessage([{"type": "search_result", "x": 1}], tool_call_id="1")],
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


@given(st.text(alphabet=st.sampled_from("a\ud83d\ude00\udbff\udc00😀é"), max_size=12), st.integers(1, 4))
def test_halves_of_a_character_are_joined_and_others_replaced(text: str, most: int) -> None:
    """As Python's UTF-16 does, whose decoder takes a second for a million halves and lets no other thread run."""
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert encodable(text) == expected
    with pytest.MonkeyPatch.context() as patch:  # the halves of a long text are read in parts
        patch.setattr(fields, "_SURROGATES", re.compile(fields._SURROGATES.pattern.replace("10000", str(most))))
        assert encodable(text) == expected


Q = HumanMessage("q")


def test_assistant_turns_are_text_without_thoughts() -> None:
    said = AIMessage(
        [{"type": "reasoning", "reasoning": "secret"}, {"type": "text", "text": "<think>hm</think>Paris"}],
        additional_kwargs={"reasoning_content": "secret"},
    )
    assert passed_on([Q, said])[1].content == "Paris"
    assert not passed_on([Q, said])[1].additional_kwargs


CALL = {"name": "weather", "args": {"city": "Oslo"}, "id": "c1"}


def test_tool_turns_become_text_for_models_without_the_tools() -> None:
    messages = [Q, AIMessage("", tool_calls=[CALL]), ToolMessage("rain", tool_call_id="c1", name="weather")]
    _, said, result = passed_on(messages)
    assert said.content == '[Called the tool weather with {"city": "Oslo"}]'
    assert (result.type, result.content) == ("human", "[Result of the tool weather]\nrain")


def test_names_ids_and_arguments_can_be_sent() -> None:
    arguments: dict[str, Any] = {"a\ud800": ["\ud800", float("nan")], "b": 1}
    messages = [
        HumanMessage("q", name="a\ud800"),
        AIMessage("", tool_calls=[{"name": "f\ud800", "args": arguments, "id": "c\ud800"}]),
        ToolMessage("r", tool_call_id="c\ud800", name="f\ud800"),
    ]
    kept = passed_on(messages, keep_tools=True)
    assert isinstance(kept[1], AIMessage) and isinstance(kept[2], ToolMessage)
    assert kept[1].tool_calls[0]["args"] == {"a\ufffd": ["\ufffd", None], "b": 1}
    assert kept[1].tool_calls[0]["id"] == kept[2].tool_call_id == "c\ufffd"
    for form in (kept, passed_on(messages)):
        "".join(f"{m.name}{m.content}{getattr(m, 'tool_calls', '')}" for m in form).encode()


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("research agent", "research_agent"),
        ("a <b> | c", "a_b_c"),
        ("x\\y/z\n", "x_y_z_"),
        ("n" * 65, "n" * 64),
        ("Zoë-1.müller", "Zoë-1.müller"),
        (None, None),
    ],
)
def test_a_name_is_one_that_openai_takes(name: str | None, sent: str | None) -> None:
    """Agents of LangGraph write their names into their turns. OpenAI refuses the request for a name with a space."""
    turn = {"name": "weather", "args": {}, "id": "c1"}
    result = ToolMessage("rain", tool_call_id="c1", name="the tool")
    messages = [HumanMessage("q", name=name), AIMessage("", tool_calls=[turn], name=name), result]
    made = passed_on([*messages, AIMessage("a", name=name), Q], keep_tools=True)
    assert [message.name for message in made] == [sent, sent, "the tool", sent, None]


def test_the_turns_of_several_people_are_told_by_the_names_that_they_have() -> None:
    (made,) = passed_on([HumanMessage("a", name="Ann B"), HumanMessage("b", name="Bob C")])
    assert made.content == "[Ann B]\na\n\n[Bob C]\nb"


def test_tool_turns_stay_for_the_model_that_has_them_unless_unanswered() -> None:
    # Servers number calls from the start in every turn: the ids of two turns may be the same.
    messages = [
        Q,
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("rain", tool_call_id="c1"),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("lost", tool_call_id="c9"),
    ]
    kept = passed_on(messages, keep_tools=True)
    assert [m.type for m in kept] == ["human", "ai", "tool", "ai", "human"]
    assert isinstance(kept[1], AIMessage) and kept[1].tool_calls
    assert isinstance(kept[3], AIMessage) and not kept[3].tool_calls


def test_each_call_has_one_result_and_others_are_a_users_turn() -> None:
    messages = [
        Q,
        AIMessage("", tool_calls=[CALL, {**CALL, "id": "c2"}]),
        ToolMessage("rain", tool_call_id="c1"),
        ToolMessage("again", tool_call_id="c1"),
        ToolMessage("stray", tool_call_id="c9"),
        ToolMessage("sun", tool_call_id="c2"),
        HumanMessage("and now?"),
    ]
    kept = passed_on(messages, keep_tools=True)
    assert [(m.type, m.content) for m in kept[2:]] == [
        ("tool", "rain"),
        ("tool", "sun"),
        ("human", "[Result of a tool]\nagain\n\n[Result of a tool]\nstray\n\nand now?"),
    ]


def test_strict_templates_get_an_assistants_turn_between_a_tool_result_and_the_user() -> None:
    """Mistral refuses a user's message right after a tool result; other templates take it."""
    messages = [Q, AIMessage("", tool_calls=[CALL]), ToolMessage("rain", tool_call_id="c1"), HumanMessage("and now?")]
    strict = passed_on(messages, keep_tools=True, strict_turns=True)
    assert [m.type for m in strict] == ["human", "ai", "tool", "ai", "human"]
    assert (strict[3].content, strict[4].content) == ("[no answer]", "and now?")
    assert [m.type for m in passed_on(messages, keep_tools=True)] == ["human", "ai", "tool", "human"]
    assert passed_on(messages[:3], keep_tools=True, strict_turns=True)[-1].type == "tool"


def test_signed_blocks_return_unchanged_to_their_model() -> None:
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "S"}, {"type": "text", "text": "I look."}]
    said = AIMessage(blocks, tool_calls=[CALL], additional_kwargs={"signatures": "S"})
    messages = [Q, said, ToolMessage("rain", tool_call_id="c1")]
    assert passed_on(messages, keep_tools=True, own=OwnTurns())[1] == said
    other = passed_on(messages, keep_tools=True)[1]
    assert (other.content, other.additional_kwargs) == ("I look.", {})
    assert "hm" not in str(passed_on(messages)[1].content)


CHAT = ChatOpenAI(model="m", base_url="http://127.0.0.1:9", api_key=SecretStr("k"))
RESPONSES = CHAT.model_copy(update={"use_responses_api": True})
CLAUDE = None
"""Its package is not among the quick tests' packages."""
SEARCH: dict[str, Any] = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}}
SIGNED: dict[str, Any] = {"type": "thinking", "thinking": "hm", "signature": "S"}
SEARCHED: dict[str, Any] = {"type": "web_search_call", "id": "w1", "status": "completed"}
LOOK: dict[str, Any] = {"type": "text", "text": "I look."}


@pytest.mark.parametrize(
    ("maker", "blocks", "model", "provider", "kept"),
    [
        ("anthropic", [SIGNED, SEARCH, LOOK], CLAUDE, "anthropic", True),
        ("anthropic", [SIGNED, SEARCH, LOOK], CHAT, "openai", False),
        ("anthropic", [SIGNED, SEARCH, LOOK], RESPONSES, "openai", False),
        ("google_genai", [SIGNED, LOOK], CLAUDE, "anthropic", False),
        ("openai", [SEARCHED, LOOK], RESPONSES, "openai", True),
        ("openai", [SEARCHED, LOOK], CLAUDE, "anthropic", False),
        (None, [SIGNED, LOOK], CLAUDE, "anthropic", True),
        ("mistralai", [SIGNED, LOOK], fake("own"), "Fake", True),
    ],
)
def test_a_turn_of_another_maker_is_its_text_and_its_calls(
    maker: str | None, blocks: list[Any], model: BaseChatModel | None, provider: str, kept: bool
) -> None:
    if model is None:
        anthropic = pytest.importorskip("langchain_anthropic")
        model = anthropic.ChatAnthropic(model_name="m", api_key="k")
    made = {"model_provider": maker} if maker else {}
    said = AIMessage(blocks, tool_calls=[CALL], additional_kwargs={"signature": "S"}, response_metadata=made)
    sent = passed_on(
        [Q, said, ToolMessage("rain", tool_call_id="c1")], keep_tools=True, own=own_turns(model, provider)
    )[1]
    assert isinstance(sent, AIMessage) and [call["id"] for call in sent.tool_calls] == ["c1"]
    assert (sent.content, sent.additional_kwargs) == ((blocks, {"signature": "S"}) if kept else ("I look.", {}))


def test_chat_completions_get_the_texts_of_a_turn_alone() -> None:
    said = AIMessage([SEARCHED, LOOK], tool_calls=[CALL], response_metadata={"model_provider": "openai"})
    sent = passed_on([Q, said, ToolMessage("rain", tool_call_id="c1")], keep_tools=True, own=own_turns(CHAT, "openai"))
    assert sent[1].content == [LOOK]


@pytest.mark.parametrize(("name", "blocks"), [("gpt-6.1-sol", True), ("gpt-5.6-sol", True), ("other", False)])
def test_a_model_that_is_called_through_responses_with_tools_gets_its_blocks(name: str, blocks: bool) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    assert own_turns(CHAT.model_copy(update={"model_name": name}).bind_tools([tool]), "openai").blocks is blocks


@pytest.mark.parametrize(("maker", "kept"), [("openai", True), ("deepseek", True), (None, True), ("ollama", False)])
def test_the_reasoning_of_another_provider_stays_out_of_its_turn(maker: str | None, kept: bool) -> None:
    made = {"model_provider": maker} if maker else {}
    said = AIMessage("", tool_calls=[CALL], additional_kwargs={"reasoning_content": "hm"}, response_metadata=made)
    own = own_turns(CHAT, "deepseek")
    sent = passed_on([Q, said, ToolMessage("rain", tool_call_id="c1")], keep_tools=True, own=own)[1]
    assert ("reasoning_content" in sent.additional_kwargs) is kept


def strict(messages: list[BaseMessage]) -> bool:
    """Whether the strictest templates take them: a system message, then user and assistant in turn, none empty."""
    kinds = [m.type for m in messages]
    turns = kinds[kinds[:1] == ["system"] :]
    return turns == (["human", "ai"] * len(turns))[: len(turns)] and all(m.content for m in messages)


BROKEN = {"name": "weather", "args": '{"city": ', "id": "c1", "error": None, "type": "invalid_tool_call"}
DEVELOPER = SystemMessage("d", additional_kwargs={"__openai_role__": "developer"})
REFUSAL = AIMessage([{"type": "refusal", "refusal": "I cannot."}])
SPOKEN = AIMessage("", additional_kwargs={"audio": {"id": "a", "transcript": "hello"}})


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ([Q, AIMessage(""), Q], [NO_ANSWER]),
        ([Q, AIMessage([]), Q], [NO_ANSWER]),
        ([Q, AIMessage("<think>cut off"), Q], [NO_ANSWER]),
        ([Q, REFUSAL, Q], ["I cannot."]),
        ([Q, SPOKEN, Q], ["hello"]),
        ([Q, AIMessage([{"type": "image", "base64": "AA", "mime_type": "image/png"}]), Q], ["[image]"]),
        ([Q, AIMessage("", invalid_tool_calls=[BROKEN]), Q], ["weather", '{"city": ']),
        ([Q, AIMessage("", tool_calls=[CALL]), ToolMessage("a", tool_call_id="c1"), ToolMessage("b", tool_call_id="x")],
         ["a", "b"]),
        ([SystemMessage("s"), Q, SystemMessage("late"), Q, DEVELOPER], ["s", "late", "d"]),
        ([SystemMessage("s")], ["s"]),
        ([SystemMessage("s"), DEVELOPER], ["s", "d"]),
        ([SystemMessage(""), Q], ["q"]),
        ([AIMessage("Welcome."), Q], ["Welcome."]),
        ([Q, AIMessage("a"), AIMessage("b"), Q, HumanMessage("r")], ["a", "b", "r"]),
        ([HumanMessage("hi", name="ann"), HumanMessage("hey", name="bob")], ["[ann]", "hi", "[bob]", "hey"]),
        ([ChatMessage("m", role="moderator"), ChatMessage("s", role="system")], ["[moderator]", "m", "s"]),
        ([Q, FunctionMessage("42", name="f")], ["f", "42"]),
        ([Q, AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": '{"a": 1}'}}),
          FunctionMessage("42", name="f")], ["Called the tool f", '{"a": 1}', "42"]),
        ([Q, AIMessage("one", tool_calls=[CALL]), AIMessage("two", invalid_tool_calls=[BROKEN]),
          ToolMessage("a", tool_call_id="c1")], ["one", "two", '{"city": ', "a"]),
        ([Q, ToolMessage([{"type": "search_result", "title": "T"}], tool_call_id="1")], ["T"]),
        ([Q, HumanMessage([{"type": "text", "text": "t"}])], ["q", "t"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("keep_tools", [False, True])
def test_any_history_is_repaired_for_strict_templates_without_loss(
    history: list[BaseMessage], said: list[str], keep_tools: bool
) -> None:
    shown = passed_on(history, keep_tools=keep_tools)
    text = "\n".join(str(m.content) for m in shown)
    assert all(each in text for each in said)
    if not any(m.type == "tool" for m in shown):
        assert strict(shown)
    assert not any(m.additional_kwargs for m in shown)


def calling(text: str, *ids: str, **fields: Any) -> AIMessage:
    return AIMessage(text, tool_calls=[{"name": "f", "args": {}, "id": each} for each in ids], **fields)


def result(id_: str) -> ToolMessage:
    return ToolMessage(id_, tool_call_id=id_)


NOTE = HumanMessage("note")


@pytest.mark.parametrize(
    ("turn", "sent"),
    [
        ([calling("one", "a"), calling("two", "b"), result("a"), result("b")], ["one\n\ntwo ab", "a", "b"]),
        ([calling("", "a"), AIMessage("wait"), result("a")], ["wait a", "a"]),
        ([calling("", "a", "b"), result("a"), NOTE, result("b"), Q], [" ab", "a", "b", "note\n\nq"]),
        ([calling("", "a"), NOTE, result("a")], [" a", "a", "note"]),
        ([calling("", "a"), NOTE, calling("", "b"), result("b")], ["[Called the tool f with {}] ", "note", " b", "b"]),
        ([calling("", "a"), calling("", "b"), result("b")], ["[Called the tool f with {}] b", "b"]),  # interrupted
        ([calling("", "a"), result("a"), calling("", "b"), result("b")], [" a", "a", " b", "b"]),
        ([calling("", "a"), calling("", "b", additional_kwargs={"x": 1}), result("b"), result("a")], [" ab", "b", "a"]),
    ],
)
def test_a_turn_in_several_messages_keeps_the_results_of_its_calls(turn: list[BaseMessage], sent: list[str]) -> None:
    """The calls and their results became text, so that the model called the tools again."""
    made = passed_on([Q, *turn], keep_tools=True)[1:]
    ids = ["".join(str(call["id"]) for call in getattr(each, "tool_calls", ())) for each in made]
    assert [f"{m.content} {i}" if m.type == "ai" else m.content for m, i in zip(made, ids, strict=True)] == sent


@pytest.mark.parametrize("field", [{"audio": {"id": "a"}}, {"refusal": "no"}, {"function_call": {"name": "f"}}])
def test_an_assistants_turn_may_have_another_field_than_its_content(field: dict[str, Any]) -> None:
    turn = {"role": "assistant", **field}
    (_, made) = add_checked([], [{"role": "user", "content": "first"}, turn])
    assert (made.content, made.additional_kwargs) == ("", field)
    with pytest.raises(InputError, match="content: missing"):
        add_checked([], {**turn, "role": "user"})


def test_a_custom_tool_of_openais_is_called_with_its_input() -> None:
    call = {"id": "c", "type": "custom", "custom": {"name": "run", "input": "print(1)"}}
    (made,) = add_checked([], {"role": "assistant", "content": None, "tool_calls": [call]})
    assert made.tool_calls == [{"name": "run", "args": {"input": "print(1)"}, "id": "c", "type": "tool_call"}]


def test_a_history_that_needs_no_repair_stays_as_it_is() -> None:
    history = [SystemMessage("s"), Q, AIMessage("a"), HumanMessage(image("https://example.com/a.png"))]
    assert [(m.type, m.content) for m in passed_on(history)] == [(m.type, m.content) for m in history]


PNG = {"type": "image", "base64": "AA", "mime_type": "image/png"}
PDF = {"type": "file", "base64": "AA", "mime_type": "application/pdf", "filename": "document.pdf"}


@pytest.mark.parametrize(
    ("takes", "result", "behind"),
    [
        (Abilities(tool_results=True), [PNG], None),
        (Abilities(), "[image]", PNG),
        (Abilities(image=False), "[image]", None),
    ],
)
def test_an_image_in_a_tool_result_reaches_the_model_that_owns_the_tools(
    takes: Abilities, result: Any, behind: Any
) -> None:
    history = [Q, AIMessage("", tool_calls=[CALL]), ToolMessage([PNG], tool_call_id="c1")]
    kept = passed_on(history, keep_tools=True, takes=takes)
    assert kept[2].content == result
    assert (behind in kept[3].content) if behind else len(kept) == 3


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA"}}, PDF),
        ({"type": "input_file", "file_data": "data:application/pdf;base64,AA"}, PDF),
        ({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"}}, PDF),
        ({"type": "media", "mime_type": "application/pdf", "data": "AA"}, PDF),
        ({"type": "file", "source_type": "base64", "mime_type": "application/pdf", "data": "AA"}, PDF),
        ({"type": "file", "base64": "AA", "mime_type": "application/pdf"}, PDF),
        ({"type": "file", "file": {"file_id": "f"}}, {"type": "file", "file_id": "f", "filename": "document.pdf"}),
        ({"type": "document", "source": {"type": "text", "data": "words"}, "title": "T"}, "[file T]\nwords"),
        ({"type": "file", "base64": "d29yZHM=", "mime_type": "text/plain", "filename": "T"}, "[file T]\nwords"),
        ({"type": "text-plain", "text": "words", "title": "T"}, "[file T]\nwords"),
        ({"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}},
         {"type": "audio", "base64": "AA", "mime_type": "audio/mp3"}),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
         {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}),
        ({"type": "image", "source": {"type": "url", "url": "https://a.org/b"}},
         {"type": "image_url", "image_url": {"url": "https://a.org/b"}}),
        ({"type": "input_image", "image_url": "https://a.org/b", "detail": "low"},
         {"type": "image_url", "image_url": {"url": "https://a.org/b", "detail": "low"}}),
        ({"type": "input_text", "text": "words"}, "words"),
        (PNG, PNG),
        # What providers refuse: another name of a type, lines, data with its type before it, no type, a wrong kind.
        ({**PNG, "mime_type": "image/jpg"}, {**PNG, "mime_type": "image/jpeg"}),
        ({**PNG, "base64": "AA\n"}, PNG),
        ({**PNG, "base64": "data:image/gif;base64,AA"}, {**PNG, "mime_type": "image/gif"}),
        ({"type": "image", "base64": "AA"}, PNG),
        ({"type": "image", "base64": "/9j/AA"}, {"type": "image", "base64": "/9j/AA", "mime_type": "image/jpeg"}),
        ({"type": "image", "source_type": "base64", "data": "A\r\nA", "mime_type": "image/png"},
         {"type": "image", "source_type": "base64", "data": "AA", "mime_type": "image/png"}),
        ({"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AA", "detail": "low"}},
         {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AA", "detail": "low"}}),
        ({"type": "image_url", "image_url": "data:image/png;charset=utf-8;base64,A A"},
         {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}),
        ({"type": "image", "source": {"type": "base64", "data": "UklGRg"}},
         {"type": "image_url", "image_url": {"url": "data:image/webp;base64,UklGRg"}}),
        ({"type": "audio", "base64": "AA", "mime_type": "audio/mpeg"},
         {"type": "audio", "base64": "AA", "mime_type": "audio/mp3"}),
        ({"type": "file", "base64": "AA", "mime_type": "image/png", "filename": "a.png"}, PNG),
        ({"type": "file", "file": {"file_data": "data:image/png;base64,AA", "filename": "a.png"}}, PNG),
        ({"type": "file", "url": "https://a.org/b.png", "mime_type": "image/png"},
         {"type": "image", "url": "https://a.org/b.png", "mime_type": "image/png"}),
        ({"type": "file", "base64": "e30=\n", "mime_type": "application/json", "filename": "T"}, "[file T]\n{}"),
    ],
)  # fmt: skip
def test_every_way_to_write_a_file_is_one_standard_block(block: dict[str, Any], expected: Any) -> None:
    wanted = {"type": "text", "text": expected} if isinstance(expected, str) else expected
    (message,) = passed_on([HumanMessage([block])])
    assert message.content == [wanted]


async def test_models_that_do_not_take_a_file_are_skipped() -> None:
    reader, blind = Own(profile={"pdf_inputs": True}), Own(profile={"image_inputs": False})
    graph = create_moa(proposers=[reader, blind], aggregator=Own())
    result = await graph.ainvoke({"messages": [{"role": "user", "content": [PDF]}]})
    assert [(d["status"], d["error"]) for d in result["drafts"]] == [
        ("ok", None),
        ("skipped", "the model takes no files"),
    ]
    assert reader.seen[0][0].content == [PDF] and not blind.seen


async def test_models_of_the_responses_api_are_skipped_for_audio() -> None:
    """LangChain would leave it out of their requests without a word."""
    graph = create_moa(proposers=[Own(), RESPONSES], aggregator=Own())
    sound = {"type": "audio", "base64": "AA", "mime_type": "audio/wav"}
    result = await graph.ainvoke({"messages": [{"role": "user", "content": [sound]}]})
    assert [draft["error"] for draft in result["drafts"]] == [None, "the model takes no audio"]


def test_a_block_that_no_model_takes_is_named_by_its_place() -> None:
    messages: list[BaseMessage] = [Q, HumanMessage([{"type": "text", "text": "a"}, {"type": "text", "text": None}])]
    with pytest.raises(InputError, match=re.escape("messages[1].content[1].text: expected text, got nothing.")):
        check(messages)


CALLS = {"role": "assistant", "content": ""}


@pytest.mark.parametrize(
    ("message", "place"),
    [
        (None, ": expected a message"),
        (5, ": expected a message"),
        ([], ": expected a message"),
        ({}, ".role: missing"),
        ({"role": "clown", "content": "x"}, '.role: "clown" is not a role. Use user,'),
        ({"role": {"x": 1}, "content": "x"}, '.role: {"x": 1} is not a role'),
        ({"role": True, "content": "x"}, ".role: true is not a role"),
        ({"role": "user"}, ".content: missing"),
        ({"role": "user", "content": 0}, ".content: expected text or a list of content blocks, got 0."),
        ({"role": "user", "content": {"type": "text"}}, ".content: expected text or a list"),
        ({"role": "user", "content": ["a", 7]}, ".content[1]: expected a content block"),
        ({"role": "user", "content": "x", "name": ["n"]}, ".name: expected text"),
        ({"role": "tool", "content": "x"}, ".tool_call_id: expected the id of the call"),
        ({**CALLS, "tool_calls": "x"}, '.tool_calls: expected a list, got "x".'),
        ({**CALLS, "tool_calls": 0}, ".tool_calls: expected a list, got 0."),
        ({**CALLS, "tool_calls": [None]}, ".tool_calls[0]: expected a tool call"),
        ({**CALLS, "tool_calls": [{"id": "c", "function": None}]}, ".tool_calls[0]: expected a function"),
        ({**CALLS, "tool_calls": [{"id": 3, "function": {"name": "f"}}]}, ".tool_calls[0].id: expected text, got 3."),
        ({**CALLS, "tool_calls": [{"id": "c", "name": "f", "args": "x"}]}, ".tool_calls[0].args: expected"),
        ({**CALLS, "tool_calls": [{"id": "c", "custom": {"input": "x"}}]}, ".tool_calls[0]: expected a function"),
        (
            {"role": "tool", "content": "x", "tool_call_id": "c", "status": "odd"},
            ': cannot be read (status: expected one of success or error, got "odd")',
        ),
    ],
)
def test_a_malformed_message_is_refused_by_its_place_in_our_words(message: Any, place: str) -> None:
    with pytest.raises(InputError) as caught:
        add_checked([], [{"role": "user", "content": "first"}, message])
    text = str(caught.value)
    assert text.startswith(f"messages[1]{place}"), text
    assert not re.search(
        r"<class|None|True|dict\b|validation error|troubleshooting", text.partition("Give LangChain")[0]
    )


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "f"}}]},
        {"role": "assistant", "tool_calls": [{"id": "c1", "name": "f", "args": {}}]},
        {"type": "ai", "content": "", "tool_calls": [{"id": "c1", "name": "f", "args": {}, "type": "tool_call"}]},
        {"role": "tool", "tool_call_id": 7, "content": [{"type": "text", "text": "r"}]},
        {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "HumanMessage"], "kwargs": {"content": "x"}},
        ("user", "x"),
        "x",
    ],
)
def test_a_message_in_another_form_is_read(message: Any) -> None:
    assert len(add_checked([], [message])) == 1


@pytest.mark.parametrize("arguments", ['{"city": ', "", None, "[]", "null", {"city": "Oslo"}])
def test_a_dict_with_broken_arguments_is_a_message(arguments: Any) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    result = {"role": "tool", "tool_call_id": "c1", "content": "rain"}
    (said, _) = add_checked([], [{"role": "assistant", "content": None, "tool_calls": [call]}, result])
    whole = arguments in ("", None) or isinstance(arguments, dict)
    assert (len(said.tool_calls), len(said.invalid_tool_calls)) == ((1, 0) if whole else (0, 1))
    shown = passed_on([Q, said, ToolMessage("rain", tool_call_id="c1")], keep_tools=True)
    assert [m.type for m in shown] == (["human", "ai", "tool"] if whole else ["human", "ai", "human"])


LOOKALIKES = [
    "https://①⑥⑨.②⑤④.①⑥⑨.②⑤④/",
    "https://169.254.169.254\\@good.example/",
    "https://metadata.google.internal。/",
    "https://metadata.google.ⓘnternal/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[2002:a9fe:a9fe::]/",
    "https://[::169.254.169.254]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[2001:0:1::]/",
    "https://224.0.0.1/",
    "https://100.64.0.1/",
    "https://0.0.0.0/",
    "https://kubernetes.default.svc/",
    "https://kubernetes.default.svc.cluster.local/",
    "https://db.corp/",
    "https://hidden.onion/",
    "https://127.0.0.1.nip.io/",
    "https://7f000001.nip.io/",
    "https://ip-10-0-0-1.example.com/",
    "https://user@good.example/",
    "https://good.example:x/",
    "https://good .example/",
    "https://good\u200b.example.com/",
    "https://%31%32%37.0.0.1/",
    "https://１２７.0.0.1/",
    "https://127.1/",
    "https://0177.0.0.1/",
    "https://LOCALHOST./",
    "https:///a.png",
    "HTTP://example.com/",
    "https://168.63.129.16/",
    "https://192.0.0.192/",
    "https://192.88.99.1/",
    "https://[3fff::1]/",
    "https://[2606:4700::5efe:127.0.0.1]/",
    "https://[2606:4700::200:5efe:a9fe:a9fe]/",
    "https://168.63.129.16.sslip.example/",
    "https://metadata.tencentyun.com/",
    "https://instance-data.ec2.example/",
    "https://x.localhost.direct/",
    "https://a.lacolhost.com/",
    "https://127.0.0.1.backname.io/",
    "https://box.tail1234.ts.net/",
    "https://nas.fritz.box/",
    "https://db.lab/",
]


@pytest.mark.parametrize("url", LOOKALIKES)
def test_lookalikes_of_private_addresses_are_refused(url: str) -> None:
    assert not is_public_https(url)


@pytest.mark.parametrize(
    "url",
    ["https://example.com/a.png", "https://93.184.216.34/a", "https://[2606:4700::1111]/a", "https://bücher.de/a",
     "HTTPS://EXAMPLE.COM:8443/a?b=c#d", "https://ec2-54-1-2-3.compute.amazonaws.com/a", "https://例え.jp/"],
)  # fmt: skip
def test_public_addresses_pass(url: str) -> None:
    assert is_public_https(url)


PRIVATE = "http://169.254.169.254/latest"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text-plain", "url": PRIVATE},
        {"type": "text-plain", "source": {"type": "url", "url": PRIVATE}},
        {"type": "text-plain", "extras": {"file_uri": PRIVATE}},
        {"type": "text-plain", "text": {"a": 1}},
        {"type": "text-plain", "metadata": "none"},
        {"type": "file", "metadata": "none"},
        {"type": "file", "data": [PRIVATE]},
        {"type": "input_audio", "input_audio": {"data": {"url": PRIVATE}}},
        {"type": "document", "source": {"type": "file", "file_id": {"a": 1}}},
    ],
)
@pytest.mark.parametrize("kind", [HumanMessage, SystemMessage, AIMessage])
def test_every_notation_of_a_file_is_checked(block: dict[str, Any], kind: type[BaseMessage]) -> None:
    with pytest.raises(InputError, match=r"file|audio"):
        check([HumanMessage("q"), kind(content=[{"type": "text", "text": "x"}, block]), HumanMessage("r")])


def test_a_plain_text_passes_in_every_notation() -> None:
    blocks = [{"type": "text-plain", "text": "x"}, {"type": "text-plain", "base64": "eA==", "mime_type": "text/plain"}]
    check([HumanMessage([*blocks, {"type": "text-plain", "url": "https://example.com/a.txt"}])])


def test_texts_in_a_list_become_blocks() -> None:
    # OpenAI's API refuses a request whose content holds bare texts, which LangChain and other APIs take.
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    sent = passed_on([SystemMessage(["a", blocks[1]]), HumanMessage(["a", "b"])])
    assert [message.content for message in sent] == [blocks, blocks]


@pytest.mark.parametrize("text", ["a", " a\n", "<think>x</think>a", "", "\0a"])
@pytest.mark.parametrize("metadata", [{}, {"model_provider": "openai", "id": "resp_1"}])
def test_an_assistants_turn_is_sent_without_what_came_with_it(text: str, metadata: dict[str, Any]) -> None:
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2} if metadata else None
    turn = AIMessage(text, id="1", name="n", response_metadata=metadata, usage_metadata=usage)  # type: ignore[arg-type]
    sent = passed_on([HumanMessage("q"), turn, HumanMessage("r")])[1]
    assert isinstance(sent, AIMessage) and sent.name == "n"
    assert (sent.content, sent.response_metadata, sent.usage_metadata) == ("a" if text else NO_ANSWER, {}, None)
    assert (turn.content, turn.response_metadata, turn.usage_metadata) == (text, metadata, usage)
