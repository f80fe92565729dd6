"""ChatOpenAI and ChatTogether without the thread that LangChain hands every whole answer to."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal

import openai

from moa_graph.models.openai_http.completions import Answer, Completions, encoded

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatResult


Limit = Literal["max_completion_tokens", "max_tokens"]
"""What the limit of an answer's tokens is called in a request."""


@functools.cache
def direct(kind: type[Any], limit: Limit) -> type[Any]:
    """`kind`, a class of LangChain's OpenAI family, with its answers made where they arrive.

    LangChain makes a result of an answer in a thread, which costs more than making it. ChatOpenAI always writes
    `max_completion_tokens`, which is OpenAI's own name: other servers pass over it without a word. The class keeps
    its name, by which traces show it.
    """

    class Direct(kind):  # type: ignore[misc]  # the class is a parameter, so mypy knows nothing of its methods
        def _get_request_payload(
            self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
        ) -> dict[str, Any]:
            payload: dict[str, Any] = super()._get_request_payload(input_, stop=stop, **kwargs)
            if "max_completion_tokens" in payload:
                payload[limit] = payload.pop("max_completion_tokens")
            return payload

        async def _agenerate(
            self,
            messages: list[BaseMessage],
            stop: list[str] | None = None,
            run_manager: AsyncCallbackManagerForLLMRun | None = None,
            **kwargs: Any,
        ) -> ChatResult:
            payload = self._get_request_payload(messages, stop=stop, **kwargs)
            body = _direct_body(self, payload)
            if body is None:
                return await kind._agenerate(self, messages, stop, run_manager, **kwargs)  # type: ignore[no-any-return]
            try:
                answer = await self.async_client.whole(body)
            except openai.APIError as error:
                # LangChain's own code turns it into its own error.
                failed = self.model_copy(update={"async_client": _Failed(error)})
                return await kind._agenerate(failed, messages, stop, run_manager, **kwargs)  # type: ignore[no-any-return]
            return self._create_chat_result(_parsed(answer))  # type: ignore[no-any-return]

    Direct.__name__, Direct.__qualname__ = kind.__name__, kind.__qualname__
    return Direct


def _direct_body(model: Any, payload: dict[str, Any]) -> bytes | None:
    """The request's body, when nothing about this call needs LangChain's longer way."""
    longer = "response_format" in payload or "messages" not in payload or model.include_response_headers
    if longer or not isinstance(model.async_client, Completions):
        return None
    return encoded(payload)


def _parsed(answer: Answer) -> Any:
    """The answer's body, with the response on the error when it is broken, as LangChain leaves it."""
    try:
        return answer.parse()
    except ValueError as error:
        error.response = answer.http_response  # type: ignore[attr-defined]  # an attribute it does not know
        raise


class _Failed:
    """A client whose next answer is an error that has already been met."""

    def __init__(self, error: openai.APIError) -> None:
        self._error = error
        self.with_raw_response = self

    async def create(self, **_: Any) -> Any:
        raise self._error
