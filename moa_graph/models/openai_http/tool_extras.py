"""Tool calls with fields that LangChain drops: `extra_content`, in which Gemini signs its thoughts.

Providers want them back unchanged in the next request. LangChain's messages have no place for them in a tool call, so
they are kept in `additional_kwargs`, by the call's id.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from moa_graph.models.reply import EXTRAS

__all__ = ["keeping_extras"]


@functools.cache
def keeping_extras(kind: type[Any]) -> type[Any]:
    """Return `kind`, a class of LangChain's OpenAI family, that keeps these fields. Its name stays, for traces."""

    class Keeping(kind):  # type: ignore[misc]  # the base class is a parameter
        def _create_chat_result(self, response: Any, generation_info: Any = None) -> Any:
            result = super()._create_chat_result(response, generation_info)
            choices = response.get("choices") if isinstance(response, Mapping) else None
            for generation, choice in zip(result.generations, choices or (), strict=False):
                _keep(generation.message, choice.get("message"))
            return result

        def _convert_chunk_to_generation_chunk(self, chunk: Any, default_chunk_class: Any, base: Any) -> Any:
            made = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base)
            choices = chunk.get("choices")
            if made is not None and choices:
                _keep(made.message, choices[0].get("delta"))
            return made

        def _get_request_payload(self, input_: Any, *, stop: Any = None, **kwargs: Any) -> dict[str, Any]:
            payload: dict[str, Any] = super()._get_request_payload(input_, stop=stop, **kwargs)
            if extras := _extras_of(self._convert_input(input_).to_messages()):
                for message in payload.get("messages", ()):
                    for call in message.get("tool_calls") or ():
                        if call.get("id") in extras:
                            call["extra_content"] = extras[call["id"]]
            return payload

    Keeping.__name__, Keeping.__qualname__, Keeping.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return Keeping


def _keep(message: Any, given: Any) -> None:
    calls = given.get("tool_calls") if isinstance(given, Mapping) else None
    found = {
        call["id"]: call["extra_content"]
        for call in calls or ()
        if isinstance(call, Mapping) and isinstance(call.get("id"), str) and call.get("extra_content")
    }
    if found:
        message.additional_kwargs[EXTRAS] = found


def _extras_of(messages: Iterable[Any]) -> dict[str, Any]:
    found = [message.additional_kwargs.get(EXTRAS) for message in messages]
    return {id_: extra for extras in found if isinstance(extras, Mapping) for id_, extra in extras.items()}
