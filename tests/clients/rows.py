"""The programs that `make clients` runs: which package, which environment, which modes."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ENVIRONMENTS", "NODE_PACKAGES", "PROGRAMS", "Program"]

ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "sdks": (
        "openai",
        "anthropic",
        "langchain-openai",
        "langchain-anthropic",
        "openai-agents",
        "instructor",
        "pydantic-ai-slim[openai,anthropic]",
        "aisuite",
        "llm",
    ),
    "litellm": ("litellm[proxy]",),
    "frameworks": (
        "llama-index-llms-openai-like",
        "haystack-ai",
        "dspy",
        "smolagents[openai]",
        "agno",
        "inspect-ai",
        "lm-eval[api]",
    ),
    "mcp": ("fastmcp", "langchain-mcp-adapters"),
}
"""Python environments by name, and what pip installs into each. They are apart because their requirements conflict."""

NODE_PACKAGES = (
    "@openai/codex",
    "@anthropic-ai/claude-code",
    "openai",
    "@anthropic-ai/sdk",
    "ai",
    "@ai-sdk/openai",
    "@ai-sdk/anthropic",
    "@ai-sdk/openai-compatible",
    "@langchain/openai",
    "@langchain/core",
    "zod",
)


class Program(NamedTuple):
    """One program and its modes.

    Attributes:
        package: The package whose version is reported.
        environment: A name of ENVIRONMENTS, or "node".
        file: The file in `programs/` that uses the package.
        modes: The modes of that file to run.
    """

    package: str
    environment: str
    file: str
    modes: tuple[str, ...]


PROGRAMS = (
    Program(
        "openai",
        "sdks",
        "openai_py.py",
        (
            "models",
            "chat",
            "chat_async",
            "chat_stream",
            "chat_stream_helper",
            "chat_tools",
            "chat_parse",
            "chat_json_object",
            "responses_create",
            "responses_stream",
            "responses_parse",
            "responses_tools",
            "completions",
        ),
    ),
    Program("anthropic", "sdks", "anthropic_py.py", ("create", "create_async", "stream", "tools", "count_tokens")),
    Program(
        "langchain-openai",
        "sdks",
        "langchain_py.py",
        (
            "chat",
            "chat_stream",
            "chat_tools",
            "chat_structured",
            "responses",
            "responses_stream",
            "responses_tools",
            "completions",
        ),
    ),
    Program("langchain-anthropic", "sdks", "langchain_py.py", ("anthropic", "anthropic_stream", "anthropic_tools")),
    Program(
        "openai-agents",
        "sdks",
        "agents_py.py",
        ("responses", "responses_tools", "responses_stream", "chat", "chat_tools"),
    ),
    Program(
        "pydantic-ai-slim",
        "sdks",
        "pydantic_ai_py.py",
        ("chat", "chat_structured", "responses", "responses_structured", "responses_stream", "anthropic"),
    ),
    Program("instructor", "sdks", "instructor_py.py", ("tools", "json_schema", "anthropic_tools")),
    Program("aisuite", "sdks", "aisuite_py.py", ("chat",)),
    Program("llm", "sdks", "commands_py.py", ("llm_chat", "llm_schema")),
    Program(
        "litellm",
        "litellm",
        "litellm_py.py",
        ("chat", "chat_stream", "chat_tools", "responses", "messages_over_openai", "anthropic"),
    ),
    Program("litellm", "litellm", "litellm_proxy_py.py", ("all_three",)),
    Program(
        "llama-index-llms-openai-like",
        "frameworks",
        "frameworks_py.py",
        ("llama_index_chat", "llama_index_stream", "llama_index_completions"),
    ),
    Program("haystack-ai", "frameworks", "frameworks_py.py", ("haystack",)),
    Program("dspy", "frameworks", "frameworks_py.py", ("dspy",)),
    Program("smolagents", "frameworks", "frameworks_py.py", ("smolagents",)),
    Program("agno", "frameworks", "frameworks_py.py", ("agno",)),
    Program("inspect-ai", "frameworks", "frameworks_py.py", ("inspect_ai",)),
    Program("lm-eval", "frameworks", "commands_py.py", ("lm_eval_chat", "lm_eval_completions")),
    Program("fastmcp", "mcp", "mcp_py.py", ("fastmcp",)),
    Program("mcp", "mcp", "mcp_py.py", ("mcp_client_session",)),
    Program("langchain-mcp-adapters", "mcp", "mcp_py.py", ("langchain_adapters",)),
    Program(
        "openai",
        "node",
        "node.mjs",
        (
            "openai_chat",
            "openai_chat_stream",
            "openai_run_tools",
            "openai_responses",
            "openai_responses_stream",
            "openai_responses_tools",
            "openai_responses_parse",
        ),
    ),
    Program("@anthropic-ai/sdk", "node", "node.mjs", ("anthropic_create", "anthropic_stream", "anthropic_tools")),
    Program(
        "@ai-sdk/openai",
        "node",
        "node.mjs",
        ("ai_sdk_openai_default", "ai_sdk_openai_default_stream", "ai_sdk_openai_default_tools"),
    ),
    Program("@ai-sdk/openai-compatible", "node", "node.mjs", ("ai_sdk_compatible", "ai_sdk_compatible_stream")),
    Program("@ai-sdk/anthropic", "node", "node.mjs", ("ai_sdk_anthropic",)),
    Program("@langchain/openai", "node", "node.mjs", ("langchain_chat", "langchain_responses")),
    Program("@openai/codex", "node", "agents.mjs", ("codex",)),
    Program("@anthropic-ai/claude-code", "node", "agents.mjs", ("claude",)),
)
