"""The MCP tool `moa_answer`: its description and its calls. The `mcp` package provides the transports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing
from typing import Any

from mcp import types
from mcp.server import Server, ServerRequestContext
from mcp.shared.exceptions import MCPError
from starlette.requests import Request

from moa_graph import __version__
from moa_graph.errors import ConfigError
from moa_graph.graph.follow import RunResult, follow
from moa_graph.mixture.context import MoAContext
from moa_graph.serve.catalogue import Catalogue
from moa_graph.serve.fields import without_nulls
from moa_graph.serve.problems import problem
from moa_graph.serve.runs import checked
from moa_graph.state.value_text import given as shown

TOOL = "moa_answer"
ABOUT = (
    "Ask several language models at once and get one answer that is synthesized from theirs. "
    "Slower and more expensive than one model, and better on hard questions."
)

OUTPUT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "answer": {"type": "string", "description": "The synthesized answer; the same text as the content."},
        "drafts": {"type": "array", "items": {"type": "object"}, "description": "Every draft, with its status."},
        "agreement": {"type": ["number", "null"], "description": "Agreement of the drafts from 0 to 1, when measured."},
        "analysis": {
            "type": ["object", "null"],
            "description": "The comparison of the drafts, if the mixture makes one.",
        },
        "notes": {
            "type": "array",
            "items": {"type": "object"},
            "description": "What further calls found: scores, votes.",
        },
        "record": {"type": "object", "description": "Calls, usage, cost and seconds of the run."},
    },
    "required": ["answer", "drafts", "agreement", "analysis", "notes", "record"],
}

_DISCONNECT_POLL = 0.25
"""Seconds between two checks that the HTTP client is still connected."""

Context = ServerRequestContext[Any, Any]


def mcp_server(catalogue: Catalogue) -> Server[Any]:
    """Return an MCP server with one tool over the mixtures of `catalogue`, for any transport."""

    async def list_tools(context: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[tool(catalogue)])

    async def call_tool(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        name, question, asked = _arguments(catalogue, params)
        answered = _answer(catalogue, name, question, asked, context)
        return await _while_connected(context, answered)

    return Server(
        "moa_graph",
        version=__version__,
        title="Mixture of agents",
        instructions=ABOUT,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def tool(catalogue: Catalogue) -> types.Tool:
    """Return the tool's description. A choice of mixtures is offered when there is more than one."""
    names = list(catalogue.mixtures)
    properties: dict[str, Any] = {
        "question": {"type": "string", "description": "The whole question, with everything needed to answer it."},
        "system": {"type": "string", "description": "Instructions for every model."},
    }
    if len(names) > 1:
        listed = " ".join(f"{name}: {mixture.description or name}" for name, mixture in catalogue.mixtures.items())
        described = f"Which models to ask; the default is {names[0]}. {listed}"
        properties["mixture"] = {"type": "string", "enum": names, "description": described}
    return types.Tool(
        name=TOOL,
        title="Mixture of agents",
        description=ABOUT,
        input_schema={
            "type": "object",
            "properties": properties,
            "required": ["question"],
            "additionalProperties": False,
        },
        output_schema=OUTPUT_SCHEMA,
        # It calls models and changes nothing; a second call may give another answer.
        annotations=types.ToolAnnotations(
            read_only_hint=True, destructive_hint=False, idempotent_hint=False, open_world_hint=True
        ),
    )


def _arguments(catalogue: Catalogue, params: types.CallToolRequestParams) -> tuple[str, str, MoAContext]:
    """Return the mixture's name, the question and the context of a call.

    Raises:
        MCPError: The tool or an argument is unknown. No request has been sent.
    """
    if params.name != TOOL:
        raise _invalid(f"Unknown tool: {params.name}. The only tool is {TOOL}.")
    # Models write null for arguments that they leave out.
    given, known = without_nulls(params.arguments or {}), tool(catalogue).input_schema["properties"]
    for name, value in given.items():
        if name not in known:
            raise _invalid(f"arguments: unknown argument {name!r}. Known arguments: {', '.join(known)}.")
        if not isinstance(value, str):
            raise _invalid(f"arguments.{name}: expected text, got {shown(value)}.")
    if "question" not in given:
        raise _invalid('arguments: must be an object like {"question": "..."}.')
    name = given.get("mixture") or next(iter(catalogue.mixtures))
    if name not in catalogue.mixtures:
        raise _invalid(f"arguments.mixture: choose one of {', '.join(catalogue.mixtures)}.")
    try:
        return name, given["question"], MoAContext(system=given.get("system"))
    except ConfigError as exc:
        raise _invalid(f"arguments{str(exc).removeprefix('context')}") from exc


def _invalid(message: str) -> MCPError:
    return MCPError(types.INVALID_PARAMS, message)


async def _answer(
    catalogue: Catalogue, name: str, question: str, asked: MoAContext, context: Context
) -> types.CallToolResult:
    """Run the mixture and report progress after each draft. A failed run is a result, for the calling model to read."""
    mixture, done = catalogue.mixture(name), 0
    try:
        messages = await checked(mixture, [{"role": "user", "content": question}], asked, field="question")
        async with aclosing(follow(catalogue.graph(name), {"messages": messages}, context=asked)) as parts:
            async for part in parts:
                if isinstance(part, RunResult):
                    return _result(part)
                if part["moa"] == "draft":
                    done, draft = done + 1, part["draft"]
                    said = f"{draft['model']}: {draft['status']}"
                    await context.session.report_progress(done, mixture.calls(), said)
        raise RuntimeError("the run ended without a result")
    except Exception as exc:
        # `problem` logs an unexpected error and hides its text.
        text = types.TextContent(type="text", text=str(problem(exc)))
        return types.CallToolResult(content=[text], is_error=True)


def _result(whole: RunResult) -> types.CallToolResult:
    answer = str(whole.message.text)
    structured = {
        "answer": answer,
        "drafts": whole.drafts,
        "agreement": whole.record["agreement"],
        "analysis": next((note["data"] for note in whole.notes if note["kind"] == "analysis"), None),
        "notes": list(whole.notes),
        "record": whole.record,
    }
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=answer)], structured_content=structured, is_error=False
    )


async def _while_connected(context: Context, answer: Awaitable[types.CallToolResult]) -> types.CallToolResult:
    """Await the answer; cancel it when the client's HTTP connection closes.

    The protocol before 2026-07-28 keeps a call running without its connection. The result could not be delivered, since
    no events are stored, and its remaining calls would still be paid.
    """
    task, request = asyncio.ensure_future(answer), context.request
    try:
        while not (await asyncio.wait({task}, timeout=_DISCONNECT_POLL))[0]:
            if isinstance(request, Request) and await request.is_disconnected():
                return types.CallToolResult(content=[], is_error=True)
        return await task
    finally:
        # Not awaited: the transport's cancel scope cancels this task again and again, and awaiting would propagate
        # that.
        task.cancel()
