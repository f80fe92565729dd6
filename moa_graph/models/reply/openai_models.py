"""LangChain's OpenAI chat models with malformed replies repaired, and with what must go back to the provider kept.

LangChain validates some fields and computes with others, so that one malformed value loses a whole answer: a role that
is not "assistant", a token count that is text, arguments that are an object. Each is replaced by its meaning, or
omitted. This holds for replies from `openai_http` and for those that the SDK has read.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage
from pydantic import PrivateAttr

from moa_graph.models.faults.faults import Fault, ProviderError
from moa_graph.models.openai_http.completions import ShortReply
from moa_graph.models.openai_http.stream import no_choices
from moa_graph.models.reply.arguments import LONG_PIECE
from moa_graph.models.reply.fields import COSTS, stated_cost
from moa_graph.models.reply.reasoning import ORIGIN, Reasoning, reasoning_by_call
from moa_graph.models.reply.repair import repaired
from moa_graph.models.reply.reply import EXTRAS, THOUGHTS
from moa_graph.models.secrets.redaction import one_line

__all__ = ["repairing"]


@dataclass
class _StreamState:
    """What is known of one stream.

    Attributes:
        calls: The ids of the tool calls so far, in order, for each choice.
        choices: Whether a chunk had choices; None before the first chunk, and with the Responses API.
        other: A chunk without choices, which may say why there are none.
        texts: The text so far, in pieces.
        chars: How many characters it has.
        reasoning: The reasoning so far.
        extras: Whether a chunk had `extra_content`.
        ended: Whether a chunk had a finish reason.
    """

    calls: dict[str, list[Any]] = field(default_factory=dict)
    choices: bool | None = None
    other: dict[str, Any] | None = None
    texts: list[str] = field(default_factory=list)
    chars: int = 0
    reasoning: Reasoning = field(default_factory=Reasoning)
    extras: bool = False
    ended: bool = False

    def repeated_by(self, text: object, *, last: bool) -> bool:
        """Return whether `text` is the text so far. The `last` one may have more, and other white space around it.

        The text so far is joined only for one of half its length or more: pieces of a long answer come here as well.
        """
        if not (self.chars and isinstance(text, str) and 2 * len(text) >= self.chars):
            return False
        said = "".join(self.texts)
        return text == said or (last and bool(said.strip()) and text.strip().startswith(said.strip()))


@functools.cache
def repairing(kind: type[Any], provider: str | None = None) -> type[Any]:
    """Return a subclass of `kind`, a class of LangChain's OpenAI family, that reads malformed replies.

    It also keeps what providers want back unchanged from a turn that called tools, and what LangChain has no place for,
    in `additional_kwargs`: `extra_content` of the calls, in which Gemini signs its thoughts, by the call's id, and the
    reasoning (`reasoning.py`).

    Args:
        kind: The class. The subclass has its name, for traces.
        provider: The provider's name in traces (LangSmith's `ls_provider`); None leaves LangChain's own.
    """

    together = "together_api_base" in kind.model_fields

    class Repairing(kind):  # type: ignore[misc]  # the base class is a parameter
        _stream_state: _StreamState = PrivateAttr(default_factory=_StreamState)

        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return await super()._agenerate(*args, **kwargs)
            except ShortReply as reply:
                headers = {"headers": dict(reply.headers)} if self.include_response_headers else {}
                return self._create_chat_result(reply.data, headers)

        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            one_stream = self.model_copy()
            state = one_stream._stream_state = _StreamState()
            async with aclosing(super(Repairing, one_stream)._astream(*args, **kwargs)) as chunks:
                async for chunk in chunks:
                    yield chunk
            if state.choices is False:
                # LangChain reports it for whole replies only.
                words = one_line(f"the reply does not keep to the protocol ({no_choices(state.other)})")
                raise ProviderError(Fault("malformed", True, None, None, words))

        def _create_chat_result(self, response: Any, generation_info: Any = None) -> Any:
            response, cost = _readable(response)
            result = super()._create_chat_result(response, generation_info)
            choices = response.get("choices") if isinstance(response, dict) else getattr(response, "choices", None)
            for generation, choice in zip(result.generations, choices or (), strict=False):
                plain = choice if isinstance(choice, dict) else choice.model_dump(warnings=False)
                said = plain.get("message")
                _keep(generation.message, said, cost, error=plain.get("error"))
                reasoning = Reasoning()
                reasoning.add(said)
                kept = generation.message.additional_kwargs
                kept.update(self._with_origin(reasoning.fields(), extras=EXTRAS in kept))
                if reasoning.seen and not (reasoning.acts or generation.message.content):
                    kept[THOUGHTS] = True
            if len(result.generations) > 1 and (tier := result.llm_output.get("service_tier")):
                # LangChain keeps it for a single reply only. A batch has a price of its own.
                for generation in result.generations:
                    generation.message.response_metadata["service_tier"] = tier
            return result

        def _convert_chunk_to_generation_chunk(self, chunk: Any, default_chunk_class: Any, base: Any) -> Any:
            cost = stated_cost(chunk)
            state, choices = self._stream_state, chunk.get("choices")
            state.choices = bool(state.choices or choices)
            if not choices and (state.other is None or "choices" not in chunk):
                state.other = chunk
            chunk = _indexed(repaired(_once(chunk, state), chunk=True), state.calls)
            long = _take_long_arguments(chunk)
            made = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base)
            if made is not None:
                first = choices[0] if choices else {}
                delta = first.get("delta")
                for place, arguments in long.items():
                    made.message.tool_call_chunks[place]["args"] = arguments
                if delta and isinstance(text := delta.get("content"), str):
                    state.texts.append(text)
                    state.chars += len(text)
                _keep(made.message, delta, cost, error=first.get("error"))
                state.reasoning.add(delta)
                kept = made.message.additional_kwargs
                state.extras = state.extras or EXTRAS in kept
                if first.get("finish_reason") and not state.ended:  # LangChain joins the texts of several chunks
                    state.ended = True
                    kept.update(self._with_origin(state.reasoning.fields(), extras=state.extras))
                    if state.reasoning.seen and not (state.reasoning.acts or state.chars):
                        kept[THOUGHTS] = True
            return made

        def _get_request_payload(self, input_: Any, *, stop: Any = None, **kwargs: Any) -> dict[str, Any]:
            given = isinstance(input_, list) and all(isinstance(each, BaseMessage) for each in input_)
            turns = input_ if given else self._convert_input(input_).to_messages()
            payload: dict[str, Any] = super()._get_request_payload(_shortened(turns), stop=stop, **kwargs)
            sent = payload.get("messages")
            if not isinstance(sent, list) or len(sent) != len(turns):  # the Responses API
                payload = super()._get_request_payload(turns, stop=stop, **kwargs)
            else:
                for message, turn in zip(sent, turns, strict=True):
                    if _is_long_answer(turn):
                        message["content"] = turn.content
            origin = self._origin()
            own = [turn for turn in turns if turn.additional_kwargs.get(ORIGIN, origin) == origin]
            extras, reasoning = _extras_of(own), reasoning_by_call(own)
            for message in payload.get("messages", ()) if extras or reasoning else ():
                for call in message.get("tool_calls") or ():
                    if call.get("id") in extras:
                        call["extra_content"] = extras[call["id"]]
                    message.update(reasoning.get(call.get("id"), {}))
            return payload

        def _origin(self) -> str:
            return str((self.together_api_base if together else None) or self.openai_api_base or "openai")

        def _with_origin(self, fields: dict[str, Any], *, extras: bool) -> dict[str, Any]:
            return {**fields, ORIGIN: self._origin()} if fields or extras else {}

        def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
            params = super()._get_ls_params(stop=stop, **kwargs)
            # LangChain does not look into the body, which has the limit of servers other than OpenAI's.
            limit = (self.extra_body or {}).get("max_tokens")
            own = {"ls_provider": provider, "ls_max_tokens": params.get("ls_max_tokens") or limit}
            return {**params, **{name: value for name, value in own.items() if value}}

    Repairing.__name__, Repairing.__qualname__, Repairing.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return Repairing


def _readable(response: Any) -> tuple[Any, float | None]:
    """Return a whole reply, repaired, and its stated cost. One that the SDK has parsed by a schema stays as it is."""
    if isinstance(response, dict):
        cost = stated_cost(response)
        return repaired(response), cost
    choices = getattr(response, "choices", None)
    if not isinstance(choices, list) or any(hasattr(getattr(each, "message", None), "parsed") for each in choices):
        return response, None
    # The SDK does not validate replies: its object holds the same malformed values.
    data = response.model_dump(warnings=False)
    cost = stated_cost(data)
    return type(response).construct(None, **repaired(data)), cost


def _once(chunk: dict[str, Any], state: _StreamState) -> dict[str, Any]:
    """Remove the whole message from a chunk that repeats it in place of a piece, as MiniMax's last one does.

    Other servers send their pieces under that name.
    """
    choices = chunk.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if isinstance(choice, dict) and not choice.get("delta") and isinstance(whole := choice.get("message"), dict):
        last = chunk.get("object") == "chat.completion" and bool(choice.get("finish_reason"))
        if state.repeated_by(whole.get("content"), last=last):
            choice["message"] = {name: value for name, value in whole.items() if name not in _REPEATED}
    return chunk


_REPEATED: Final = frozenset({"content", "reasoning_content", "reasoning", "reasoning_details"})


def _indexed(chunk: dict[str, Any], calls: dict[str, list[Any]]) -> dict[str, Any]:
    """Give the pieces of tool calls the index that some servers omit. LangChain drops pieces without one.

    `calls` holds the ids of the stream's calls so far, in order, for each of its choices.
    """
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        for call in (delta.get("tool_calls") if isinstance(delta, dict) else None) or ():
            if isinstance(call.get("index"), int):
                continue
            known, id_ = calls.setdefault(str(choice.get("index") or 0), []), call.get("id")
            if not id_ or id_ not in known:
                if id_ or call["function"].get("name"):
                    known.append(id_)
                call["index"] = max(len(known) - 1, 0)
            else:
                call["index"] = known.index(id_)
    return chunk


def _take_long_arguments(chunk: dict[str, Any]) -> dict[int, str]:
    """Remove long arguments from a chunk, since LangChain would parse them (`arguments.py`), and return them."""
    choices = chunk.get("choices")
    delta = choices[0].get("delta") if choices else None
    taken: dict[int, str] = {}
    for place, call in enumerate((delta.get("tool_calls") if delta else None) or ()):
        if len(arguments := call["function"].get("arguments") or "") > LONG_PIECE:
            taken[place], call["function"]["arguments"] = arguments, ""
    return taken


def _keep(message: Any, given: Any, cost: float | None, *, error: Any = None) -> None:
    """Add to LangChain's message what LangChain leaves out.

    Args:
        message: LangChain's message, or chunk of one.
        given: The message, or the piece of one, as the provider sent it.
        cost: Dollars as the provider stated them. LangChain drops them in a stream and beside unreadable counts.
        error: The error of the choice, as OpenRouter reports a fault of the provider behind it.
    """
    if error:
        message.response_metadata["error"] = error
    if cost is not None:
        # A list, since LangChain can join lists when a stream states its cost several times.
        message.response_metadata[COSTS] = [cost]
    calls = given.get("tool_calls") if isinstance(given, Mapping) else None
    found = {
        call["id"]: call["extra_content"]
        for call in calls or ()
        if isinstance(call, Mapping) and isinstance(call.get("id"), str) and call.get("extra_content")
    }
    if found:
        message.additional_kwargs[EXTRAS] = found
    refusal = given.get("refusal") if isinstance(given, Mapping) else None
    if refusal and isinstance(refusal, str):
        message.additional_kwargs["refusal"] = refusal


_LONG_ANSWER: Final = 1000
"""Characters of an answer in the conversation that LangChain searches in 50 microseconds."""
_SHORT: Final = AIMessage("short")
"""Stands for a long answer that has nothing but its text."""


def _is_long_answer(turn: BaseMessage) -> bool:
    return isinstance(turn, AIMessage) and isinstance(turn.content, str) and len(turn.content) > _LONG_ANSWER


def _shortened(turns: list[BaseMessage]) -> list[BaseMessage]:
    """Return the turns with short answers in the place of long ones: LangChain searches each character for audio."""
    return [_short(turn) if _is_long_answer(turn) else turn for turn in turns]


def _short(turn: Any) -> BaseMessage:
    if turn.name or turn.tool_calls or turn.invalid_tool_calls or turn.additional_kwargs:
        short: BaseMessage = turn.model_copy(update={"content": _SHORT.content})
        return short
    return _SHORT


def _extras_of(messages: Iterable[Any]) -> dict[str, Any]:
    found = [message.additional_kwargs.get(EXTRAS) for message in messages]
    return {id_: extra for extras in found if isinstance(extras, Mapping) for id_, extra in extras.items()}
