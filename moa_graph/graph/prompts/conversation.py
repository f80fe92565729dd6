"""The caller's messages in the form that a model is sent: what the strictest chat template takes.

The repair is the same for every provider: one system message in front, then user and assistant turns in alternation
that begin with a user's, each with content. Nothing is dropped silently: a placeholder names what a model cannot take.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from moa_graph.graph.prompts.local_files import with_ids
from moa_graph.graph.prompts.media import KINDS, Abilities, Block, blocks_of, kind_of, placeholder, standard
from moa_graph.graph.prompts.neighbours import Content, alternating, joined
from moa_graph.graph.prompts.own_turns import OwnTurns
from moa_graph.models.limits import MAX_ARGUMENT_CHARS
from moa_graph.models.reply.blocks import BLOCKS, content_text
from moa_graph.models.reply.fields import encodable, plain
from moa_graph.models.reply.thoughts import clean

__all__ = ["NO_ANSWER", "passed_on"]

NO_ANSWER = "[no answer]"
"""The text of an assistant turn without any content."""

_BEGINNING = "[The assistant begins the conversation.]"
_SYSTEM_ROLES = frozenset({"system", "developer"})
_ASSISTANT_ROLES = frozenset({"assistant", "ai", "model"})

Result = ToolMessage | FunctionMessage


def passed_on(
    messages: Sequence[BaseMessage],
    *,
    keep_tools: bool = False,
    own: OwnTurns | None = None,
    takes: Abilities | None = None,
    strict_turns: bool = False,
) -> list[BaseMessage]:
    """Return the conversation in the form that a model is sent.

    Assistant turns are their text without reasoning. Tool calls and results become text, so that models without the
    tools can read them.

    Args:
        messages: The caller's messages.
        keep_tools: Keep the calls whose results all follow, for the model that has the tools.
        own: Which of those turns the model wrote itself. They stay unchanged: providers verify the signatures of
            reasoning in a tool loop. None: none of them.
        takes: The kinds of content that the model takes; all of them in user messages by default.
        strict_turns: The model's template requires an assistant turn between a tool result and a user message.
    """
    takes = takes or Abilities()
    known = [_known(_encodable(message)) for message in messages]
    system = [message for message in known if isinstance(message, SystemMessage)]
    rest = [message for message in known if not isinstance(message, SystemMessage)]
    if not rest:
        return [HumanMessage(joined([message.content for message in system]))] if system else []
    rest = list(_with_results_behind(rest)) if keep_tools else rest
    turns = alternating(_turns(rest, keep_tools=keep_tools, own=own, takes=takes))
    if isinstance(turns[0], AIMessage):
        turns.insert(0, HumanMessage(_BEGINNING))
    made = [*_one_system(system), *map(_named, _answered(turns) if strict_turns else turns)]
    return [with_ids(message) for message in made] if takes.by_id else made


def _answered(turns: Sequence[BaseMessage]) -> Iterator[BaseMessage]:
    """Yield the turns with an assistant's turn between a tool result and a user's message."""
    last: BaseMessage | None = None
    for turn in turns:
        if isinstance(last, ToolMessage) and isinstance(turn, HumanMessage):
            yield AIMessage(NO_ANSWER)
        yield turn
        last = turn


_NOT_IN_NAMES = re.compile(r"[\s<|\\/>]+")
_LONGEST_NAME = 64


def _named(message: BaseMessage) -> BaseMessage:
    """Return `message` with a name that OpenAI takes. It refuses the whole request for one such as "research agent"."""
    if not message.name or isinstance(message, ToolMessage):
        return message
    name = _NOT_IN_NAMES.sub("_", message.name)[:_LONGEST_NAME]
    return message if name == message.name else message.model_copy(update={"name": name})


def _encodable(message: BaseMessage) -> BaseMessage:
    """Return `message` with names, ids and arguments that can be sent. Its content follows later."""
    # The message's own fields: pydantic looks for an attribute that does not exist in many places.
    fields = vars(message)
    changed: dict[str, Any] = {
        name: encoded
        for name in ("name", "tool_call_id")
        if (text := fields.get(name)) and (encoded := encodable(text)) != text
    }
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    if calls and (made := plain(calls, text=MAX_ARGUMENT_CHARS, values=100_000)) is not None and made != calls:
        changed["tool_calls"] = made
    return message.model_copy(update=changed) if changed else message


def _known(message: BaseMessage) -> BaseMessage:
    """Return `message` as one of the five kinds. An unknown role becomes a user turn that names it."""
    if not isinstance(message, ChatMessage):
        return message
    role = message.role.lower()
    if role in _SYSTEM_ROLES:
        return SystemMessage(message.content)
    if role in _ASSISTANT_ROLES:
        return AIMessage(message.content, name=message.name)
    if role in ("user", "human"):
        return HumanMessage(message.content, name=message.name)
    return HumanMessage(joined([f"[{encodable(message.role)}]", message.content], "\n"))


def _one_system(system: Sequence[SystemMessage]) -> list[BaseMessage]:
    contents = [content for message in system if (content := _sent(message.content))]
    return [SystemMessage(joined(contents))] if contents else []


def _with_results_behind(messages: Sequence[BaseMessage]) -> Iterator[BaseMessage]:
    """Yield the messages, each turn of the assistant in one, and the results of its calls before other messages.

    Anthropic's Messages and OpenAI's Responses take a turn in several messages, and others between its results. A call
    without its result behind it becomes text, and the model calls the tool again.
    """
    runs = [list(run) for _, run in itertools.groupby(messages, lambda message: isinstance(message, AIMessage))]
    wanted: list[str | None] = []
    for run, behind in itertools.zip_longest(runs, runs[1:], fillvalue=list[BaseMessage]()):
        said = [message for message in run if isinstance(message, AIMessage)]
        if said:
            turns = _one_turn(said, {message.tool_call_id for message in behind if isinstance(message, ToolMessage)})
            wanted = [call["id"] for call in turns[-1].tool_calls]
            yield from turns
        else:
            yield from sorted(
                run, key=lambda each: not isinstance(each, ToolMessage) or each.tool_call_id not in wanted
            )


def _one_turn(turns: list[AIMessage], answered: set[str]) -> list[AIMessage]:
    """Return the messages of a turn as one if another one than the last calls tools and all calls are answered.

    Contents that are blocks, invalid calls, and several messages with fields of their provider stay apart.
    """
    calls = [call for turn in turns for call in turn.tool_calls]
    kept = [turn.additional_kwargs for turn in turns if turn.additional_kwargs]
    apart = len(kept) > 1 or any(turn.invalid_tool_calls or not isinstance(turn.content, str) for turn in turns)
    if len(calls) == len(turns[-1].tool_calls) or apart or not {call["id"] for call in calls} <= answered:
        return turns
    text = "\n\n".join(str(turn.content) for turn in turns if turn.content)
    fields = {"content": text, "tool_calls": calls, "additional_kwargs": kept[0] if kept else {}}
    return [turns[-1].model_copy(update=fields)]


def _turns(
    messages: Sequence[BaseMessage], *, keep_tools: bool, own: OwnTurns | None, takes: Abilities
) -> Iterator[BaseMessage]:
    place = 0
    while place < len(messages):
        message = messages[place]
        place += 1
        if isinstance(message, AIMessage):
            results = _results_behind(messages, place)
            if keep_tools and _all_answered(message, results):
                place += len(results)
                yield _acting(message, own)
                yield from _kept_results(message, results, takes)
            else:
                yield _assistant(message)
        elif isinstance(message, ToolMessage | FunctionMessage):
            yield HumanMessage(_result_text(message))
        else:
            content = _sent(message.content)
            yield message if content == message.content else message.model_copy(update={"content": content})


def _results_behind(messages: Sequence[BaseMessage], place: int) -> list[ToolMessage]:
    found = []
    while place < len(messages) and isinstance(result := messages[place], ToolMessage):
        found.append(result)
        place += 1
    return found


def _all_answered(message: AIMessage, results: Sequence[ToolMessage]) -> bool:
    wanted = [call["id"] for call in message.tool_calls]
    whole = bool(wanted) and not message.invalid_tool_calls and len(set(wanted)) == len(wanted) and all(wanted)
    return whole and set(wanted) <= {result.tool_call_id for result in results}


def _kept_results(message: AIMessage, results: Sequence[ToolMessage], takes: Abilities) -> Iterator[BaseMessage]:
    """Yield one result for each call; then, as a user turn, further results and what a tool result cannot hold."""
    wanted = [str(call["id"]) for call in message.tool_calls]
    others: list[Content] = []
    for result in results:
        if result.tool_call_id not in wanted:
            others.append(_result_text(result))
            continue
        wanted.remove(result.tool_call_id)
        content = _sent(result.content)
        if isinstance(content, list) and not takes.tool_results:
            held: list[str | Block] = [block for block in content if _takes(takes, block)]
            others += [[f"[From the result of the tool {result.name or result.tool_call_id}]", *held]] if held else []
            content = "\n".join(map(placeholder, content))
        yield ToolMessage(content, tool_call_id=result.tool_call_id, name=result.name, status=result.status)
    if others:
        yield HumanMessage(joined(others))


def _takes(takes: Abilities, block: str | Block) -> bool:
    kind = kind_of(block)
    return kind in KINDS and bool(getattr(takes, kind))


def _result_text(result: Result) -> str:
    label = f"Result of the tool {encodable(result.name)}" if result.name else "Result of a tool"
    content = _sent(result.content)
    shown = content if isinstance(content, str) else "\n".join(map(placeholder, content))
    return f"[{label}]\n{shown}"


def _sent(content: Content) -> Content:
    """Return content that can be sent: blocks in their standard form, without lone surrogates and NUL."""
    return encodable(content) if isinstance(content, str) else [standard(block) for block in content]


def _acting(message: AIMessage, own: OwnTurns | None) -> AIMessage:
    """Return a turn that called tools, for the model that has them. It refuses blocks and fields of another maker."""
    if own is None or not own.made_by(message.response_metadata.get("model_provider")):
        return AIMessage(clean(content_text(message.content)), tool_calls=message.tool_calls, name=message.name)
    fields = message.additional_kwargs
    if own.blocks and isinstance(blocks := fields.get(BLOCKS), list):
        others = {key: value for key, value in fields.items() if key != BLOCKS}
        return message.model_copy(update={"content": blocks, "additional_kwargs": others})
    if isinstance(message.content, str):
        kept = plain(fields, text=MAX_ARGUMENT_CHARS) or {}
        return AIMessage(
            clean(message.content), tool_calls=message.tool_calls, name=message.name, additional_kwargs=kept
        )
    told = [standard(each) if _is_text(each) else each for each in message.content if own.blocks or _is_text(each)]
    return message if told == message.content else message.model_copy(update={"content": told})


def _is_text(block: str | Block) -> bool:
    return kind_of(block) == "text"


def _assistant(message: AIMessage) -> AIMessage:
    """Return an assistant's turn as text and a name, without what came with it: metadata, usage, calls."""
    if _is_plain(message):
        text = clean(str(message.content)) or NO_ANSWER
        if text == message.content and not message.response_metadata and not message.usage_metadata:
            return message
        # A copy is not validated again, which takes half the time in a long conversation.
        return message.model_copy(update={"content": text, "response_metadata": {}, "usage_metadata": None})
    calls = [(call["name"], json.dumps(call["args"], ensure_ascii=False)) for call in message.tool_calls]
    calls += [(str(call["name"]), str(call["args"])) for call in message.invalid_tool_calls]
    legacy = message.additional_kwargs.get("function_call")
    if isinstance(legacy, dict) and not calls:
        calls = [(str(legacy.get("name")), str(legacy.get("arguments")))]
    notes = [encodable(f"[Called the tool {name} with {args}]") for name, args in calls]
    parts = [clean(content_text(message.content)), *_said_otherwise(message), *notes]
    return AIMessage("\n".join(part for part in parts if part) or NO_ANSWER, name=message.name)


def _is_plain(message: AIMessage) -> bool:
    """Return whether a turn is a text and nothing else."""
    others = message.tool_calls or message.invalid_tool_calls or message.additional_kwargs
    return type(message) is AIMessage and isinstance(message.content, str) and not others


def _said_otherwise(message: AIMessage) -> Iterator[str]:
    """Yield what an assistant turn holds beside text: refusals, transcripts of audio, images and files."""
    refusal = message.additional_kwargs.get("refusal")
    audio = message.additional_kwargs.get("audio")
    if isinstance(refusal, str):
        yield encodable(refusal)
    if isinstance(audio, dict):
        yield encodable(str(audio.get("transcript") or "[audio]"))
    for block in blocks_of(message):
        if isinstance(block, dict) and block.get("type") == "refusal":
            yield encodable(str(block.get("refusal") or ""))
        elif kind_of(block) in KINDS:
            yield placeholder(standard(block))
