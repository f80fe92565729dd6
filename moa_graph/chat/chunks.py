"""The results of a run in the forms that LangChain expects of a chat model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from moa_graph.errors import AggregationError
from moa_graph.models.reply import BLOCKS
from moa_graph.state import Usage


def result(state: Mapping[str, Any], name: str) -> ChatResult:
    """Return the answer in a run's last `state`. LangChain gives the message its id."""
    answer: AIMessage = state["messages"][-1]
    message = answer.model_copy(update={"id": None, **_about(state, name)})
    return ChatResult(generations=[ChatGeneration(message=message)])


class Answer:
    """An answer in pieces: text from the run's events, and everything else with the last piece."""

    modes: tuple[Literal["custom"], Literal["values"]] = ("custom", "values")

    def __init__(self, name: str) -> None:
        self._name = name
        self._state: Mapping[str, Any] = {}
        self._begun = False

    def chunks(self, mode: str, part: Any) -> Iterator[ChatGenerationChunk]:
        """Yield the piece in one part of the graph's stream, if it holds one.

        Raises:
            AggregationError: Another model starts the answer again; a chat model cannot discard tokens.
        """
        if mode == "values":
            self._state = part
        elif part.get("moa") == "aggregating" and self._begun and "restart" not in part:
            raise AggregationError(
                "the answer broke off after its first tokens had been passed on. Ask again, or do not stream: then "
                "what is left of the retries and fallbacks mends it.",
                drafts=self._state.get("drafts", ()),
            )
        elif part.get("moa") == "answer_token":
            self._begun = True
            calls = [tool_call_chunk(**_plain(call)) for call in part.get("tool_call_chunks", ())]
            yield ChatGenerationChunk(message=AIMessageChunk(content=part["text"], tool_call_chunks=calls))

    def last(self) -> ChatGenerationChunk:
        """Return the last piece: usage, drafts and record, and the whole answer when nothing was streamed before.

        Content blocks that the aggregator's provider wants back in a tool loop stand in `additional_kwargs`: the text
        that was streamed precedes them, and providers refuse reasoning that does not come first.
        """
        answer: AIMessage = self._state["messages"][-1]
        if self._begun and self._state["record"]["status"] == "best_draft":
            raise AggregationError("the answer broke off in mid-stream.", drafts=self._state["drafts"])
        blocks = {BLOCKS: answer.content} if self._begun and isinstance(answer.content, list) else {}
        message = AIMessageChunk(
            content="" if self._begun else answer.content,
            additional_kwargs={**answer.additional_kwargs, **blocks},
            tool_call_chunks=[] if self._begun else _whole_calls(answer),
            chunk_position="last",
            **_about(self._state, self._name),
        )
        return ChatGenerationChunk(message=message)


def _about(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    answer: AIMessage = state["messages"][-1]
    # The aggregator's own count would stand beside the sum of all.
    given = {key: value for key, value in answer.response_metadata.items() if key != "token_usage"}
    added = {"model_name": name, "drafts": state["drafts"], "record": state["record"]}
    return {
        "response_metadata": {**given, **added},
        "usage_metadata": _usage(state["record"]["usage"]),
    }


def _usage(total: Usage) -> UsageMetadata | None:
    """Return the sum over all calls; None when no provider counted."""
    tokens = total["input_tokens"] + total["output_tokens"]
    if not tokens:
        return None
    return UsageMetadata(
        input_tokens=total["input_tokens"],
        output_tokens=total["output_tokens"],
        total_tokens=tokens,
        input_token_details={"cache_read": total["cache_read_tokens"], "cache_creation": total["cache_write_tokens"]},
        output_token_details={"reasoning": total["reasoning_tokens"]},
    )


def _plain(call: Mapping[str, Any]) -> dict[str, Any]:
    return {name: call.get(name) for name in ("name", "args", "id", "index")}


def _whole_calls(answer: AIMessage) -> list[ToolCallChunk]:
    return [
        tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=place)
        for place, call in enumerate(answer.tool_calls)
    ]
