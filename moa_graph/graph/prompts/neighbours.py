"""Neighbouring messages of one role as one message."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from moa_graph.graph.prompts.media import Block

__all__ = ["Content", "alternating", "joined"]

Content = str | list[str | Block]


def alternating(turns: Iterator[BaseMessage]) -> list[BaseMessage]:
    """Return the turns with neighbours of one role joined into one message.

    Neighbours are collected before they are joined: to join them one by one takes quadratic time.
    """
    made: list[BaseMessage] = []
    run: list[BaseMessage] = []
    for turn in turns:
        if run and not _joins(run[-1], turn):
            made.append(_one(run))
            run = []
        run.append(turn)
    return [*made, _one(run)] if run else made


def _joins(last: BaseMessage, turn: BaseMessage) -> bool:
    if isinstance(last, HumanMessage):
        return isinstance(turn, HumanMessage)
    return _plain_assistant(last) and isinstance(turn, AIMessage) and isinstance(turn.content, str)


def _one(run: list[BaseMessage]) -> BaseMessage:
    """Return neighbours of one role as one message."""
    first, last = run[0], run[-1]
    if len(run) == 1:
        return first
    if isinstance(first, AIMessage):
        return last.model_copy(update={"content": "\n\n".join(str(turn.content) for turn in run if turn.content)})
    same = list(itertools.takewhile(lambda turn: turn.name == first.name, run))
    begun = joined([turn.content for turn in same])
    if len(same) == len(run):
        return HumanMessage(begun, name=first.name)
    named = begun if first.name is None else joined([f"[{first.name}]", begun], "\n")
    return HumanMessage(joined([named, *(_named(turn) for turn in run[len(same) :])]))


def _plain_assistant(message: BaseMessage) -> bool:
    return isinstance(message, AIMessage) and isinstance(message.content, str) and not message.tool_calls


def _named(message: BaseMessage) -> Content:
    return message.content if message.name is None else joined([f"[{message.name}]", message.content], "\n")


def joined(contents: Sequence[Content], between: str = "\n\n") -> Content:
    """Return contents as one: a text if all are texts, else blocks."""
    if all(isinstance(content, str) for content in contents):
        return between.join(str(content) for content in contents if content)
    texts = list(itertools.takewhile(lambda content: isinstance(content, str), contents))
    blocks: list[str | Block] = []
    for content in [between.join(str(text) for text in texts if text), *contents[len(texts) :]]:
        new: list[str | Block] = [content] if isinstance(content, str) else list(content)
        for n, block in enumerate(new):
            text = block if isinstance(block, str) else None
            if text is None:
                blocks.append(block)
            elif text:
                blocks.append({"type": "text", "text": between + text if blocks and n == 0 else text})
    return blocks
