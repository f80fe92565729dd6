"""SDK retries that LangChain's `max_retries` does not control are switched off per call, or in a copy's settings."""

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from moa_graph import create_moa
from tests.faults.foreign import Own


class Cohere(Own):
    """A class of the package langchain_cohere, as far as its module's name says."""

    seen: list[dict[str, Any]] = Field(default_factory=list)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.seen.append(kwargs)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("yes"))])


class LiteLLM(Cohere):
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    shown: list[dict[str, Any]] = Field(default_factory=list)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        self.shown.append(self.model_kwargs)
        return await super()._agenerate(*args, **kwargs)


class Cohere2(Cohere):
    """The caller's own class, derived from the package's."""


Cohere.__module__ = "langchain_cohere.chat_models"
LiteLLM.__module__ = "langchain_litellm.chat_models.litellm"


async def test_each_call_of_cohere_says_that_its_sdk_must_not_retry() -> None:
    for kind in (Cohere, Cohere2):
        model, own = kind(seen=[]), Own()
        await create_moa(proposers=[model, own], aggregator=model).ainvoke({"messages": "hi"})
        assert [each["request_options"] for each in model.seen] == [{"max_retries": 0}] * 2


async def test_a_copy_of_litellm_does_not_retry_and_keeps_its_settings() -> None:
    model = LiteLLM(seen=[], shown=[], model_kwargs={"top_p": 0.5, "max_retries": 7})
    await create_moa(proposers=[model], aggregator=Own()).ainvoke({"messages": "hi"})
    assert model.shown == [{"top_p": 0.5, "max_retries": 0}]
    assert model.model_kwargs == {"top_p": 0.5, "max_retries": 7}
