"""The embedded model as a LangChain chat model."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from operator import itemgetter
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.utils import convert_to_openai_messages
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, ConfigDict, Field

from moa_graph.models.local.files import locate
from moa_graph.models.local.runtime import Completion, LocalModelError
from moa_graph.models.local.schema import fitting

_TOKENS = 512
"""Most tokens of an answer where nothing else is asked for: so small a model may never stop by itself."""
_SETTINGS = ("temperature", "max_tokens", "seed", "stop")

_SOME_TEXT = r"root ::= [^ \t\n\r\[] [^\x00]*"
"""llama.cpp grammar for non-blank text that does not begin with a boundary line of the prompt (`graph.prompts.fence`).

Without it, so small a model sometimes ends its answer before the first word, or repeats a boundary line or its code in
brackets. These are removed from answers, so a short answer of this kind would be empty.
"""
_FORMS = frozenset({"grammar", "json_schema", "response_format", "tools"})
"""Request fields that set a grammar or exclude one."""


def local_chat_model(
    name: str, *, temperature: float | None = None, max_tokens: int | None = None, **params: Any
) -> BaseChatModel:
    """Return a chat model that runs in this process. Nothing is loaded before the first request.

    Args:
        name: "smollm2", or the path of a GGUF file.
        temperature: Sampling temperature; None for the runtime's default.
        max_tokens: Maximum tokens per answer; None for 512.
        **params: Further request fields of llama.cpp's server (`seed`, `stop`, `top_p`, `top_k`, ...).

    Returns:
        The chat model. Its first request raises ConfigError if the runtime or the file is missing.
    """
    given = {"temperature": temperature, "max_tokens": max_tokens}
    own = {key: params.pop(key) for key in ("seed", "stop") if key in params}
    chosen: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    return ChatLocal(model=name, params=params, **own, **chosen)


class ChatLocal(BaseChatModel):
    """A GGUF model in this process.

    It can be used from any thread and any event loop, blocks no event loop, and never returns an empty answer. The
    first request loads the model (about a second). Cancelling a call closes its connection, and the runtime stops
    generating.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str
    temperature: float | None = None
    max_tokens: int = Field(default=_TOKENS, ge=1)
    """Always limited: a small model may never stop by itself."""
    seed: int | None = None
    stop: list[str] | None = None
    params: dict[str, Any] = Field(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return "local"

    def _resolve_model_profile(self) -> ModelProfile:
        return {"image_inputs": False}

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, **{key: getattr(self, key) for key in _SETTINGS}, **self.params}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(iter([chunk async for chunk in self._astream(messages, stop, **kwargs)]))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        completion = Completion(locate(self.model), self._body(messages, stop, kwargs))
        for data in completion:
            if (chunk := _chunk(data, self.model)) is not None:
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        # In a thread, because it reads the file system.
        path = await asyncio.to_thread(locate, self.model)
        async with contextlib.aclosing(_aiter(Completion(path, self._body(messages, stop, kwargs)))) as stream:
            async for data in stream:
                if (chunk := _chunk(data, self.model)) is not None:
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    def _body(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the request body.

        Raises:
            LocalModelError: A message has content other than text.
        """
        turns = convert_to_openai_messages(messages, text_format="string")
        for turn in turns:
            if not isinstance(turn.get("content") or "", str):
                raise LocalModelError("the embedded model accepts text only", status_code=400)
        settings = {**{key: getattr(self, key) for key in _SETTINGS}, **self.params, **kwargs}
        if stop is not None:
            settings["stop"] = stop
        body = {"messages": turns, **{key: value for key, value in settings.items() if value is not None}}
        if not body.keys() & _FORMS:
            return {**body, "grammar": _SOME_TEXT}
        return {**body, **_fitting_form(body)}

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Literal["json_schema"] = "json_schema",
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return a runnable whose answers fit `schema`. A grammar enforces the schema during generation.

        Args:
            schema: A pydantic class or a JSON schema.
            include_raw: Whether to return the message and the parsing error as well.
            method: Only "json_schema"; accepted because callers pass it to every model.
            **kwargs: Ignored, for the same reason (`strict`, for example).

        Returns:
            A runnable from messages to an instance of the class, or to a dict. Texts and lists without a limit of
            their own are limited so that the whole fits into `max_tokens`, if that is large enough for its fields.
        """
        json_schema = convert_to_json_schema(schema)
        wrapped = {"name": json_schema.get("title", "answer"), "schema": json_schema, "strict": True}
        model = self.bind(response_format={"type": "json_schema", "json_schema": wrapped})
        parser: Runnable[Any, Any] = JsonOutputParser()
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            parser = PydanticOutputParser(pydantic_object=schema)
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks([failed], exception_key="parsing_error")


def _fitting_form(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request's response format with a schema that fits into its length; empty without a schema."""
    form = body.get("response_format")
    named = form.get("json_schema") if isinstance(form, Mapping) else None
    schema = named.get("schema") if isinstance(named, Mapping) else None
    if not isinstance(form, Mapping) or not isinstance(named, Mapping) or not isinstance(schema, Mapping):
        return {}
    fitted = fitting(schema, body.get("max_tokens", _TOKENS))
    return {"response_format": {**form, "json_schema": {**named, "schema": fitted}}}


_END = object()


async def _aiter(completion: Completion) -> AsyncGenerator[dict[str, Any]]:
    """Yield the chunks of a completion on this event loop. A dedicated thread reads them and ends with the completion.

    A shared thread pool does not work here: many slow requests would fill it, and the interpreter's exit would wait
    for it.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Any] = asyncio.Queue()

    def post(item: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing reads the queue any more
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def read() -> None:
        try:
            for data in completion:
                post(data)
            post(_END)
        except BaseException as exc:
            # Every exception is passed on to the task that awaits the answer.
            post(exc)

    threading.Thread(target=read, name="moa_graph.models.local", daemon=True).start()
    try:
        while (item := await queue.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        completion.abort()


def _chunk(data: dict[str, Any], model: str) -> ChatGenerationChunk | None:
    """Return one piece of the answer, or None if the chunk carries neither text nor a finish reason nor usage."""
    choice: dict[str, Any] = next(iter(data.get("choices") or ()), {})
    text = (choice.get("delta") or {}).get("content") or ""
    finish, usage = choice.get("finish_reason"), data.get("usage")
    if not (text or finish or usage):
        return None
    message = AIMessageChunk(
        content=text,
        response_metadata={"finish_reason": finish, "model_name": f"local:{model}"} if finish else {},
        usage_metadata=_usage(usage) if usage else None,
    )
    return ChatGenerationChunk(message=message)


def _usage(given: dict[str, int]) -> UsageMetadata:
    read, written = given["prompt_tokens"], given["completion_tokens"]
    return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
