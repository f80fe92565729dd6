"""LangChain's own standard tests for chat models, over a mixture whose models are the loopback provider's.

What they skip cannot apply: no environment variable makes a ChatMoA (its models have their own), it is not serialized
(it may hold any model), a call names no other model, and no PDF or audio goes in. Their image test downloads a
picture; test_chat_model.py sends one of its own.
"""

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from moa_graph import ChatMoA
from tests.provider import Provider


class _Params:
    """A mixture of three models of the loopback provider, in two layers."""

    provider: Provider

    @pytest.fixture(autouse=True)
    def _provider(self, provider: Provider) -> None:
        self.provider = provider

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatMoA

    @property
    def chat_model_params(self) -> dict[str, Any]:
        def model(name: str) -> dict[str, Any]:
            return {"model": f"openai:{name}-tok=8", "base_url": self.provider.url}

        return {"mixture": {"proposers": [model("one"), model("two")], "aggregator": model("agg"), "name": "standard"}}

    @property
    def supports_json_mode(self) -> bool:
        return True


class TestChatMoAUnit(_Params, ChatModelUnitTests):
    """Construction, binding, parameters."""

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        # All but `api_key`: each model of a mixture has its own key, from the environment.
        return ChatModelIntegrationTests.standard_chat_model_params.fget(self)


class TestChatMoAIntegration(_Params, ChatModelIntegrationTests):
    """Calls, streams, tools, structured output."""
