"""The programs that `make clients` runs: which package, which environment, which modes."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["ABSENT", "NODE_PACKAGES", "PROGRAMS", "PYTHON_PACKAGES", "Program"]

PYTHON_PACKAGES: dict[str, tuple[str, ...]] = {
    "openai": ("openai",),
    "anthropic": ("anthropic",),
    "langchain": ("langchain-openai", "langchain-anthropic"),
    "agents": ("openai-agents",),
    "pydantic-ai": ("pydantic-ai-slim[openai,anthropic]",),
    "instructor": ("instructor[anthropic]",),
    "aisuite": ("aisuite[openai]",),
    "llm": ("llm", "pyyaml"),
    "litellm": ("litellm[proxy]",),
    "llama-index": ("llama-index-llms-openai-like",),
    "haystack": ("haystack-ai",),
    "dspy": ("dspy",),
    "smolagents": ("smolagents[openai]",),
    "agno": ("agno", "openai"),
    "inspect": ("inspect-ai", "openai"),
    "lm-eval": ("lm-eval[api]", "pyyaml"),
    "mcp": ("mcp>=2",),
    "mcp-sessions": ("mcp<2", "langchain-mcp-adapters"),
    "fastmcp": ("fastmcp",),
    "langgraph": ("langgraph", "langgraph-sdk", "a2a-sdk[http-server]"),
    "graphs": ("{root}", "langchain", "deepagents", "langgraph-supervisor", "langgraph-swarm", "trustcall"),
    "providers": ("{root}", "langchain-cohere", "langchain-litellm", "langchain-groq"),
    "every-provider": ("{root}[anthropic,google,mistral,ollama]",),
    "langfuse": ("{root}", "langchain", "langfuse"),
    "openinference": ("{root}", "langchain", "openinference-instrumentation-langchain", "opentelemetry-sdk"),
    "traceloop": ("{root}", "langchain", "opentelemetry-instrumentation-langchain", "opentelemetry-sdk"),
    "ag-ui": ("{root}", "ag-ui-langgraph", "fastapi"),
    "aider": ("aider-chat",),
}
"""Python environments by name, and the packages of each. They are apart because their requirements conflict.

`{root}` stands for this project, for programs that build a graph in their own process.
"""

NODE_PACKAGES: dict[str, tuple[str, ...]] = {
    "node": (
        "@openai/codex",
        "@anthropic-ai/claude-code",
        "opencode-ai",
        "@qwen-code/qwen-code",
        "openai",
        "@openai/agents",
        "@anthropic-ai/sdk",
        "ai",
        "@ai-sdk/openai",
        "@ai-sdk/anthropic",
        "@ai-sdk/openai-compatible",
        "@langchain/openai",
        "@langchain/anthropic",
        "@langchain/core",
        "@langchain/langgraph",
        "@langchain/langgraph-sdk",
        "@langchain/react",
        "@modelcontextprotocol/sdk",
        "@a2a-js/sdk",
        "react",
        "react-dom",
        "jsdom",
        "zod",
    ),
    "node-continue": ("@continuedev/cli",),
    "node-promptfoo": ("promptfoo",),
}
"""Node environments by name, and the packages of each."""

ABSENT = {
    "ChatGPT desktop, Claude Desktop, Cursor, LM Studio": "installers from their makers; not on PyPI or npm",
    "LangGraph Studio": "a hosted page; the calls it makes are in tests/integration/test_studio.py",
    "Cline, Roo Code, Continue for VS Code": "extensions of an editor; Continue's command is among the programs",
    "Open WebUI": "its package on PyPI requires 261 others, PyTorch with CUDA among them (several gigabytes)",
}
"""Clients that are not run, with the reason."""


class Program(NamedTuple):
    """One program and its modes.

    Attributes:
        package: The package whose version is reported.
        environment: A name of PYTHON_PACKAGES or NODE_PACKAGES.
        file: The file in `programs/` that uses the package.
        modes: The modes of that file to run.
        server: What the modes call.
    """

    package: str
    environment: str
    file: str
    modes: tuple[str, ...]
    server: Literal["moa serve", "langgraph dev", "moa mcp", "none"] = "moa serve"


PROGRAMS = (
    Program(
        "openai",
        "openai",
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
    Program("anthropic", "anthropic", "anthropic_py.py", ("create", "create_async", "stream", "tools", "count_tokens")),
    Program(
        "langchain-openai",
        "langchain",
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
    Program(
        "langchain-anthropic", "langchain", "langchain_py.py", ("anthropic", "anthropic_stream", "anthropic_tools")
    ),
    Program(
        "openai-agents",
        "agents",
        "agents_py.py",
        ("responses", "responses_tools", "responses_stream", "chat", "chat_tools"),
    ),
    Program(
        "pydantic-ai-slim",
        "pydantic-ai",
        "pydantic_ai_py.py",
        ("chat", "chat_structured", "responses", "responses_structured", "responses_stream", "anthropic"),
    ),
    Program("instructor", "instructor", "instructor_py.py", ("tools", "json_schema", "anthropic_tools")),
    Program("aisuite", "aisuite", "aisuite_py.py", ("chat",)),
    Program("llm", "llm", "commands_py.py", ("llm_chat", "llm_schema")),
    Program(
        "litellm",
        "litellm",
        "litellm_py.py",
        ("chat", "chat_stream", "chat_tools", "responses", "messages_over_openai", "anthropic"),
    ),
    Program("litellm", "litellm", "litellm_proxy_py.py", ("all_three",)),
    Program(
        "llama-index-llms-openai-like",
        "llama-index",
        "frameworks_py.py",
        ("llama_index_chat", "llama_index_stream", "llama_index_completions"),
    ),
    Program("haystack-ai", "haystack", "frameworks_py.py", ("haystack",)),
    Program("dspy", "dspy", "frameworks_py.py", ("dspy",)),
    Program("smolagents", "smolagents", "frameworks_py.py", ("smolagents",)),
    Program("agno", "agno", "frameworks_py.py", ("agno",)),
    Program("inspect-ai", "inspect", "frameworks_py.py", ("inspect_ai",)),
    Program("lm-eval", "lm-eval", "commands_py.py", ("lm_eval_chat", "lm_eval_completions")),
    Program("aider-chat", "aider", "commands_py.py", ("aider",)),
    Program("mcp", "mcp", "mcp_py.py", ("client_http",)),
    Program("mcp", "mcp", "mcp_py.py", ("client_stdio",), "moa mcp"),
    Program("mcp", "mcp", "mcp_py.py", ("client_langgraph_dev",), "langgraph dev"),
    Program("mcp", "mcp-sessions", "mcp_py.py", ("session_http",)),
    Program("mcp", "mcp-sessions", "mcp_py.py", ("session_stdio",), "moa mcp"),
    Program("langchain-mcp-adapters", "mcp-sessions", "mcp_py.py", ("langchain_adapters_http",)),
    Program("langchain-mcp-adapters", "mcp-sessions", "mcp_py.py", ("langchain_adapters_stdio",), "moa mcp"),
    Program("fastmcp", "fastmcp", "mcp_py.py", ("fastmcp",)),
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
    Program("@langchain/anthropic", "node", "node.mjs", ("langchain_anthropic",)),
    Program("@openai/agents", "node", "node.mjs", ("agents_responses",)),
    Program("@modelcontextprotocol/sdk", "node", "node.mjs", ("mcp_http",)),
    Program("@modelcontextprotocol/sdk", "node", "node.mjs", ("mcp_stdio",), "moa mcp"),
    Program("@openai/codex", "node", "agents.mjs", ("codex",)),
    Program("@anthropic-ai/claude-code", "node", "agents.mjs", ("claude",)),
    Program("opencode-ai", "node", "agents.mjs", ("opencode",)),
    Program("@qwen-code/qwen-code", "node", "agents.mjs", ("qwen",)),
    Program("@continuedev/cli", "node-continue", "agents.mjs", ("continue_cli",)),
    Program("promptfoo", "node-promptfoo", "agents.mjs", ("promptfoo",)),
    Program(
        "langgraph-sdk",
        "langgraph",
        "langgraph_py.py",
        (
            "sdk_runs_wait",
            "sdk_runs_stream",
            "sdk_threads_stream",
            "sdk_threads_stream_websocket",
            "sdk_threads_stream_messages",
            "sdk_assistant",
            "sdk_time_travel",
            "sdk_error",
        ),
        "langgraph dev",
    ),
    Program(
        "langgraph",
        "langgraph",
        "langgraph_py.py",
        ("remote_graph", "remote_graph_node", "remote_graph_error"),
        "langgraph dev",
    ),
    Program(
        "a2a-sdk",
        "langgraph",
        "langgraph_py.py",
        ("a2a", "a2a_stream", "a2a_error", "a2a_stream_error"),
        "langgraph dev",
    ),
    Program(
        "@langchain/langgraph-sdk",
        "node",
        "langgraph.mjs",
        ("sdk_runs_wait", "sdk_runs_stream", "sdk_threads_stream", "sdk_threads_stream_messages"),
        "langgraph dev",
    ),
    Program("@langchain/langgraph", "node", "langgraph.mjs", ("remote_graph",), "langgraph dev"),
    Program("@langchain/react", "node", "langgraph.mjs", ("use_stream",), "langgraph dev"),
    Program("@a2a-js/sdk", "node", "langgraph.mjs", ("a2a",), "langgraph dev"),
    Program("langchain", "graphs", "graphs_py.py", ("create_agent", "create_agent_structured", "moa_as_tool"), "none"),
    Program("deepagents", "graphs", "graphs_py.py", ("deep_agent", "deep_subagent"), "none"),
    Program("langgraph-supervisor", "graphs", "graphs_py.py", ("supervisor",), "none"),
    Program("langgraph-swarm", "graphs", "graphs_py.py", ("swarm",), "none"),
    Program("ag-ui-langgraph", "ag-ui", "graphs_py.py", ("ag_ui",), "none"),
    Program("trustcall", "graphs", "graphs_py.py", ("trustcall",), "none"),
    Program("langchain-cohere", "providers", "providers_py.py", ("cohere",), "none"),
    Program("langchain-litellm", "providers", "providers_py.py", ("litellm",), "none"),
    Program("langchain-groq", "providers", "providers_py.py", ("groq",), "none"),
    Program(
        "moa_graph",
        "every-provider",
        "every_provider_py.py",
        (
            "openai",
            "together",
            "openrouter",
            "groq",
            "deepseek",
            "xai",
            "fireworks",
            "lmstudio",
            "compatible",
            "anthropic",
            "google",
            "mistral",
            "ollama",
            "unusable_key",
        ),
        "none",
    ),
    Program(
        "openinference-instrumentation-langchain",
        "openinference",
        "tracers_py.py",
        ("openinference_graph", "openinference_chat_model"),
        "none",
    ),
    Program("opentelemetry-instrumentation-langchain", "traceloop", "tracers_py.py", ("traceloop_graph",), "none"),
    Program("opentelemetry-instrumentation-langchain", "traceloop", "tracers_py.py", ("traceloop_chat_model",), "none"),
    Program("langfuse", "langfuse", "langfuse_py.py", ("graph", "chat_model"), "none"),
)
