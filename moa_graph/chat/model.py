"""A mixture behind LangChain's interface for chat models.

from moa_graph import ChatMoA

print(ChatMoA("local").invoke("What is the capital of France?").content)
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self, Unpack, cast

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    BaseRunManager,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import LangSmithParams, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import Field, PrivateAttr, ValidationError, model_validator

from moa_graph.chat.callbacks import CallbackRun, Parent, alone, anext_part, around, hooks, next_part, own_run
from moa_graph.chat.chunks import Answer, result
from moa_graph.chat.options import checked_options, in_chat_form
from moa_graph.chat.structured import Method, structured
from moa_graph.costs.tokens import prompt_tokens, tokens
from moa_graph.graph.build import MoAGraph, create_moa
from moa_graph.graph.follow import follow, follow_sync
from moa_graph.graph.owned import owned
from moa_graph.mixture.context import BoundContext
from moa_graph.mixture.fields import ChatFields
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.validation import config_error, refuse_unknown
from moa_graph.models.cancelled import EndsCancelledRuns
from moa_graph.models.registry import profile_of
from moa_graph.models.reply.answer_filter import ChunkFilter, filtered
from moa_graph.state.field_errors import field_problems, schema_of

_PARENT, _FORM = "moa_parent", "moa_form"


class ChatMoA(EndsCancelledRuns):
    """A mixture of agents behind LangChain's interface for chat models.

    ChatMoA("together")                                   # a preset, or a YAML or TOML file
    ChatMoA("together", layers=3, temperature=0)          # fields of Mixture and of this class
    ChatMoA(proposers=[gpt, claude], aggregator=claude)   # any chat models

    `temperature`, `max_tokens` and `stop` apply to the aggregator, as do bound tools and a response format. Proposers
    are called as the mixture says. The answer's `usage_metadata` is the sum over all calls; its `response_metadata` has
    `drafts` and `record`.

    Args:
        mixture: A `Mixture`, a preset's name, the path of a YAML or TOML file, or a mapping of fields.
        temperature: The aggregator's sampling temperature; None leaves the mixture's.
        max_tokens: The most tokens of the answer; None leaves the mixture's.
        stop: Texts that end the answer.
        timeout: Seconds for a whole answer; None leaves the mixture's `run_deadline`.
        max_retries: Repetitions of each call at most; None leaves the mixture's `max_attempts`.
        streaming: Whether `invoke` streams, too.
        **options: Fields of `Mixture`, which replace what `mixture` says.

    Raises:
        ConfigError: A field is unknown or wrong.
    """

    mixture: Mixture
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    stop: list[str] | None = None
    timeout: float | None = Field(default=None, gt=0, le=86_400)
    max_retries: int | None = Field(default=None, ge=0, le=9)
    streaming: bool = False
    _graph: MoAGraph = PrivateAttr()

    def __init__(
        self, mixture: Mixture | str | Path | Mapping[str, Any] | None = None, /, **options: Unpack[ChatFields]
    ) -> None:
        own, fields = type(self).model_fields, dict[str, Any](options)
        refuse_unknown(fields, {**own, **Mixture.model_fields}, what="ChatMoA")
        source = fields.pop("mixture", None) if mixture is None else mixture
        mine = {name: fields.pop(name) for name in list(fields) if name in own}
        whole = Mixture.load(source, **fields)
        try:
            super().__init__(**{"mixture": whole, **mine})
        except ValidationError as exc:
            raise config_error(field_problems(exc, schema_of(type(self), sorted(mine))), what="ChatMoA") from None

    @model_validator(mode="after")
    def _compiled(self) -> Self:
        self._compile()
        return self

    def _compile(self) -> None:
        retries = self.max_retries
        tried = self.mixture if retries is None else self.mixture.changed(max_attempts=retries + 1)
        # No checkpoints, not even those of a surrounding graph: for that graph the call is one atomic step.
        self._graph = create_moa(tried, checkpointer=False)

    def _resolve_model_profile(self) -> ModelProfile | None:
        # The mixture takes what its aggregator takes: proposers whose window is too small are skipped.
        return profile_of(self.mixture.aggregator)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with some fields replaced. The mixture is immutable and shared, also by a deep copy."""
        fields = dict(update or {})
        if "mixture" in fields:
            fields["mixture"] = Mixture.load(fields["mixture"])
        copied = super().model_copy(update=fields)
        for name in ("stop", "tags", "metadata"):
            if deep and getattr(copied, name):
                setattr(copied, name, getattr(copied, name).copy())
        if "mixture" in fields and "profile" not in fields:
            copied.profile = copied._resolve_model_profile()
        if fields.keys() & {"mixture", "max_retries"}:
            copied._compile()
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy(deep=True)

    def __getstate__(self) -> dict[Any, Any]:
        return {**super().__getstate__(), "__pydantic_private__": None}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        # A compiled graph cannot be pickled.
        super().__setstate__({**state, "__pydantic_private__": {}})
        self._compile()

    def get_num_tokens(self, text: str) -> int:
        """Return about how many tokens a text has: four bytes of UTF-8 each, for the models of any provider."""
        return tokens(text)

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Return about how many tokens a conversation has, with the schemas of its tools."""
        schemas = [json.dumps(in_chat_form(tool, None)) for tool in tools or ()]
        return prompt_tokens(messages) + sum(map(tokens, schemas))

    @property
    def model_name(self) -> str:
        """The mixture's name in traces and token counts."""
        return f"moa:{self.name or self.mixture.name or self.mixture.hash}"

    @property
    def _llm_type(self) -> str:
        return "moa"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        own = {"temperature": self.temperature, "max_tokens": self.max_tokens, "stop": self.stop}
        return {"model_name": self.model_name, "mixture": self.mixture.hash, **own}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        # The span of this model has the metadata of the runs below it, so that filters of root spans find it.
        stamp = (self._graph.config or {}).get("metadata") or {}
        found = {name: value for name, value in stamp.items() if name.startswith("moa_")}
        return cast("LangSmithParams", {**super()._get_ls_params(stop=stop, **kwargs), **found})

    def to_json(self) -> Any:
        """Return LangChain's serialized form with the model's name, from which some tracers read it."""
        return {**super().to_json(), "kwargs": {"model_name": self.model_name}}

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the model with tools. The aggregator calls them; proposers only describe the call in words.

        Args:
            tools: Tools in any form that LangChain takes, or the aggregator's provider, such as its web search.
            tool_choice: As for the aggregator's own `bind_tools`.
            strict: Whether the provider enforces the tools' schemas.
            **kwargs: Further options of the aggregator's call.
        """
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=[in_chat_form(tool, strict) for tool in tools], **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Method = "function_calling",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return the model with its answer parsed by `schema`. Proposers know the schema and answer in words.

        Args:
            schema: A JSON schema, a pydantic class or a TypedDict; None for any JSON.
            method: A method that the aggregator's provider supports.
            include_raw: Return `{"raw", "parsed", "parsing_error"}`.
            strict: Whether the provider enforces the schema.
            **kwargs: Further options of the aggregator's call.
        """
        return structured(self, schema, method=method, include_raw=include_raw, strict=strict, form=_FORM, more=kwargs)

    # These four methods choose the id of the run, so that the inner graph's spans are its children: LangChain does not
    # pass the run to `_stream`.

    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:
        config, parent = own_run(config, CallbackManager)
        return super().invoke(input, config, **({_PARENT: parent} | kwargs))

    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AIMessage:
        config, parent = own_run(config, AsyncCallbackManager)
        return await super().ainvoke(input, config, **({_PARENT: parent} | kwargs))

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[AIMessageChunk]:
        config, parent = own_run(config, CallbackManager)
        yield from super().stream(input, config, **({_PARENT: parent} | kwargs))

    async def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessageChunk]:
        config, parent = own_run(config, AsyncCallbackManager)
        async with owned(super().astream(input, config, **({_PARENT: parent} | kwargs))) as chunks:
            async for chunk in chunks:
                yield chunk

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        kwargs.pop(_PARENT, None)
        return super()._get_invocation_params(stop=stop, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        run = self._run(messages, stop, run_manager, kwargs)
        with alone(run.unseen):
            return result(self._graph.invoke(run.input, run.config, context=run.context), self.model_name)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        run = self._run(messages, stop, run_manager, kwargs)
        with alone(run.unseen):
            made = await self._graph.ainvoke(run.input, run.config, context=run.context)
        return filtered(result(made, self.model_name))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        run = self._run(messages, stop, run_manager, kwargs, stream=True)
        answer = Answer(self.model_name)
        with closing(follow_sync(self._graph, run.input, run.config, context=run.context)) as parts:
            while (part := next_part(parts, run.unseen)) is not None:
                yield from answer.chunks(part)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        run = self._run(messages, stop, run_manager, kwargs, stream=True)
        answer, text = Answer(self.model_name), ChunkFilter()
        async with owned(follow(self._graph, run.input, run.config, context=run.context)) as parts:
            while (part := await anext_part(parts, run.unseen)) is not None:
                for chunk in answer.chunks(part):
                    yield text.add(chunk)
        for chunk in text.rest():
            yield chunk

    def _run(
        self,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        manager: BaseRunManager | None,
        options: dict[str, Any],
        *,
        stream: bool = False,
    ) -> CallbackRun:
        """Return the arguments of the inner graph's call; `options` are those of the model's call."""
        parent, form = options.pop(_PARENT, None), options.pop(_FORM, None)
        for name in ("stream", "stream_usage"):  # the method decides the one; tokens are always counted
            options.pop(name, None)
        mine = {"temperature": self.temperature, "max_tokens": self.max_tokens, "stop": stop or self.stop}
        bound = checked_options({**{name: value for name, value in mine.items() if value is not None}, **options})
        if parent is None:
            parent = Parent(manager, manager.run_id, self._get_invocation_params()) if manager else around()
        # Copies without ids: the state's reducer would write ids into the caller's messages, and merge equal ids.
        own = [message.model_copy(update={"id": None}) for message in messages]
        return CallbackRun(
            input={"messages": own},
            config={"callbacks": parent.child()},
            context=BoundContext(run_deadline=self.timeout, stream_answer=stream, bound=bound, form=form),
            unseen=hooks(),
        )
