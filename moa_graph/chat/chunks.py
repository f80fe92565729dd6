"""The results of a run in the forms that LangChain expects of a chat model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from moa_graph.errors import AggregationError
from moa_graph.graph.follow import RunResult, result_of
from moa_graph.models.reply.blocks import BLOCKS
from moa_graph.models.reply.fields import usage_metadata
from moa_graph.models.streaming import call_chunks
from moa_graph.state import Draft, Event, Record, Usage, by_place


def result(state: Mapping[str, Any], name: str) -> ChatResult:
    """Return the answer in the last state of a run, without an id: LangChain gives the message one.

    Args:
        state: The state.
        name: The name of the mixture, as the model that answered.

    Raises:
        ConfigError: The run has paused.
    """
    run = result_of(state)
    about = _about(run.message, run.drafts, run.record, name)
    message = run.message.model_copy(update={"id": None, **about})
    return ChatResult(generations=[ChatGeneration(message=message)])


class Answer:
    """An answer in chunks: text from the run's events, and everything else with the last chunk.

    Args:
        name: The name of the mixture, as the model that answered.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._drafts: list[Draft] = []
        self._begun = False

    def chunks(self, part: Event | RunResult) -> Iterator[ChatGenerationChunk]:
        """Yield the chunk of an event or of the result, if it has one.

        Raises:
            AggregationError: Another model starts the answer again, or a draft replaces it. A chat model cannot discard
                tokens.
        """
        if isinstance(part, RunResult):
            yield self._last(part)
        elif part["moa"] == "draft":
            self._drafts.append(part["draft"])
        elif part["moa"] == "aggregating" and self._begun and "restart" not in part:
            raise AggregationError(
                "the answer was interrupted after its first tokens had been passed on. Ask again, or do not stream: "
                "then the retries and fallbacks that are left can still complete it.",
                drafts=by_place(self._drafts),
            )
        elif part["moa"] == "answer_token":
            self._begun = True
            calls = [tool_call_chunk(**_fields(call)) for call in part.get("tool_call_chunks", ())]
            yield ChatGenerationChunk(message=AIMessageChunk(content=part["text"], tool_call_chunks=calls))

    def _last(self, result: RunResult) -> ChatGenerationChunk:
        """Return the last chunk: usage, drafts and record, and the whole answer when nothing was streamed before.

        Content blocks that the aggregator's provider wants back in a tool loop are in `additional_kwargs`: the text
        that was streamed precedes them, and providers refuse reasoning that does not come first.
        """
        answer = result.message
        if self._begun and result.record["status"] == "best_draft":
            raise AggregationError("the answer was interrupted in mid-stream.", drafts=result.drafts)
        blocks = {BLOCKS: answer.content} if self._begun and isinstance(answer.content, list) else {}
        message = AIMessageChunk(
            content="" if self._begun else answer.content,
            additional_kwargs={**answer.additional_kwargs, **blocks},
            tool_call_chunks=[] if self._begun else call_chunks(answer),
            chunk_position="last",
            **_about(answer, result.drafts, result.record, self._name),
        )
        return ChatGenerationChunk(message=message)


def _about(answer: AIMessage, drafts: list[Draft], record: Record, name: str) -> dict[str, Any]:
    """Return the metadata of the answer: what its model said, drafts, record, and the usage of all calls."""
    # The aggregator's own count would be confused with the sum over all calls.
    given = {key: value for key, value in answer.response_metadata.items() if key != "token_usage"}
    added = {"model_name": name, "drafts": drafts, "record": record}
    return {"response_metadata": {**given, **added}, "usage_metadata": _usage(record["usage"])}


def _usage(total: Usage) -> UsageMetadata | None:
    """Return the usage of all calls in LangChain's form; None when no provider counted."""
    return usage_metadata(total) if total["input_tokens"] + total["output_tokens"] else None


def _fields(call: Mapping[str, Any]) -> dict[str, Any]:
    return {name: call.get(name) for name in ("name", "args", "id", "index")}
