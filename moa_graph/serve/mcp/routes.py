"""MCP at `/mcp`: one tool that asks a mixture, for agents of whatever make.

The Agent Server has an endpoint of its own there, whose answer is the Python repr of a state; under it ours takes that
place. It is the Model Context Protocol's Streamable HTTP transport. A session's id says whose calls a client may take
back, and nothing else: no session is kept, so none ends and any server of several answers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from moa_graph import __version__
from moa_graph.mixture.context import MoAContext
from moa_graph.serve.access import json_body
from moa_graph.serve.catalogue import Catalogue
from moa_graph.serve.mcp.calls import SESSION, Calls, new_session
from moa_graph.serve.openai.response import event
from moa_graph.serve.problems import Problem, problem
from moa_graph.serve.runs import Result, checked, run
from moa_graph.serve.sse import HEARTBEAT, EventStream, unless_gone
from moa_graph.state import Draft

TOOL = "moa_answer"
ABOUT = (
    "Ask several language models at once and get one answer that is synthesized from theirs. "
    "Slower and dearer than one model, and better on hard questions."
)
VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Versions of the protocol that this is, newest first."""

_WRONG_REQUEST, _NO_METHOD, _WRONG_PARAMS = -32600, -32601, -32602


class _Refused(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.body = {"code": code, "message": message}


@dataclass(frozen=True)
class McpRoutes:
    """The handlers over one catalogue."""

    catalogue: Catalogue
    max_bytes: int
    heartbeat: float = HEARTBEAT
    calls: Calls = field(default_factory=Calls)

    async def handle(self, request: Request) -> ASGIApp:
        """POST /mcp: one JSON-RPC message."""
        if request.method != "POST":
            # No stream of the server's own accord, and no session to end.
            return Response(status_code=405, headers={"allow": "POST"})
        try:
            message = await json_body(request, self.max_bytes)
            if message.get("jsonrpc") != "2.0":
                raise Problem(400, "This is no JSON-RPC 2.0 message.", code="invalid_json")
        except Problem as refusal:
            return refusal.response()
        if "id" not in message or "method" not in message:
            self._noted(request, message)
            return Response(status_code=202)
        return await self._answered(request, message)

    def _noted(self, request: Request, message: dict[str, Any]) -> None:
        params = message.get("params")
        if message.get("method") == "notifications/cancelled" and isinstance(params, dict):
            self.calls.cancel(request.headers.get(SESSION), params.get("requestId"))

    async def _answered(self, request: Request, message: dict[str, Any]) -> ASGIApp:
        id_, method = message["id"], message["method"]
        if not isinstance(id_, str | int) or isinstance(id_, bool):
            return _response(None, error={"code": _WRONG_REQUEST, "message": "id: a text or a whole number."})
        try:
            params = _object(message, "params")
            if method == "tools/call":
                return await self._called(request, id_, params)
            # Whoever takes a session's id can take back what it asks; what it does not ask needs none.
            headers = {SESSION: new_session()} if method == "initialize" else None
            return _response(id_, headers, result=self._told(method, params))
        except _Refused as refusal:
            return _response(id_, error=refusal.body)

    def _told(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method == "initialize":
            wanted = params.get("protocolVersion")
            return {
                "protocolVersion": wanted if wanted in VERSIONS else VERSIONS[0],
                "capabilities": {"tools": {"listChanged": False}},
                "serverInfo": {"name": "moa_graph", "version": __version__},
            }
        if method == "ping":
            return {}
        if method == "tools/list":
            return {"tools": [self._tool()]}
        raise _Refused(_NO_METHOD, f"Method not found: {method}")

    def _tool(self) -> dict[str, Any]:
        names = list(self.catalogue.mixtures)
        about = {name: mixture.description or name for name, mixture in self.catalogue.mixtures.items()}
        properties: dict[str, Any] = {
            "question": {"type": "string", "description": "The whole question, with all it takes to answer it."},
            "system": {"type": "string", "description": "Instructions for every model."},
        }
        if len(names) > 1:
            listed = " ".join(f"{name}: {text}" for name, text in about.items())
            described = f"Which models are asked; {names[0]} if left out. {listed}"
            properties["mixture"] = {"type": "string", "enum": names, "description": described}
        schema = {
            "type": "object",
            "properties": properties,
            "required": ["question"],
            "additionalProperties": False,
        }
        # It asks models and changes nothing; asked again, it may answer otherwise.
        hints = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": False, "openWorldHint": True}
        return {"name": TOOL, "title": "Mixture of agents", "description": ABOUT, "inputSchema": schema} | {
            "annotations": hints
        }

    async def _called(self, request: Request, id_: str | int, params: dict[str, Any]) -> ASGIApp:
        if params.get("name") != TOOL:
            raise _Refused(_WRONG_PARAMS, f"Unknown tool: {params.get('name')}. The one tool here is {TOOL}.")
        asked = self._arguments(_object(params, "arguments"))
        token = _object(params, "_meta").get("progressToken")
        parts = self._running(request.headers.get(SESSION), id_, self._parts(id_, asked, token))
        if "text/event-stream" in request.headers.get("accept", ""):
            return EventStream(_events(parts), heartbeat=self.heartbeat)
        last = await unless_gone(request.receive, _last(parts))
        return JSONResponse(last) if last else Response(status_code=499)

    def _arguments(self, given: dict[str, Any]) -> tuple[str, str, MoAContext]:
        """The mixture's name, the question and the context."""
        known = self._tool()["inputSchema"]["properties"]
        if not isinstance(given.get("question"), str):
            raise _Refused(_WRONG_PARAMS, 'arguments: give {"question": "..."}.')
        for name, value in given.items():
            if name not in known or not isinstance(value, str):
                raise _Refused(_WRONG_PARAMS, f"arguments.{name}: not a text, or not among {', '.join(known)}.")
        name = given.get("mixture") or next(iter(self.catalogue.mixtures))
        if name not in self.catalogue.mixtures:
            raise _Refused(_WRONG_PARAMS, f"arguments.mixture: choose among {', '.join(self.catalogue.mixtures)}.")
        return name, given["question"], MoAContext(system=given.get("system"))

    async def _running(
        self, session: str | None, id_: str | int, parts: AsyncGenerator[dict[str, Any]]
    ) -> AsyncGenerator[dict[str, Any]]:
        """`parts`, which the client can take back meanwhile."""
        with self.calls.running(session, id_):
            async with aclosing(parts):
                async for part in parts:
                    yield part

    async def _parts(self, id_: Any, asked: tuple[str, str, MoAContext], token: Any) -> AsyncGenerator[dict[str, Any]]:
        """The messages of one call: progress where it is wanted, and the result."""
        name, question, context = asked
        mixture, done = self.catalogue.mixture(name), 0
        try:
            messages = checked(mixture, [{"role": "user", "content": question}], context)
            async with aclosing(run(self.catalogue.graph(name), messages, context)) as parts:
                async for part in parts:
                    if isinstance(part, Result):
                        yield {"jsonrpc": "2.0", "id": id_, "result": _text(str(part.message.text))}
                    elif part["moa"] == "draft" and token is not None:
                        done += 1
                        yield _progress(token, done, mixture.calls(), part["draft"])
        except Exception as exc:
            # A tool's failure is a result, for the agent to read; `problem` hides and logs what nobody foresaw.
            yield {"jsonrpc": "2.0", "id": id_, "result": {**_text(str(problem(exc))), "isError": True}}


def _object(holder: dict[str, Any], name: str) -> dict[str, Any]:
    """The object of that name; null is as good as nothing."""
    value = holder.get(name)
    if value is not None and not isinstance(value, dict):
        raise _Refused(_WRONG_PARAMS, f"{name}: an object is wanted, not {type(value).__name__}.")
    return value or {}


def _text(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": False}


def _progress(token: Any, done: int, total: int, draft: Draft) -> dict[str, Any]:
    told = {"progressToken": token, "progress": done, "total": total, "message": f"{draft['model']}: {draft['status']}"}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": told}


def _response(id_: Any, headers: dict[str, str] | None = None, **body: Any) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": id_, **body}, headers=headers)


async def _last(parts: AsyncGenerator[dict[str, Any]]) -> dict[str, Any] | None:
    last = None
    async with aclosing(parts):
        async for part in parts:
            last = part
    return last


async def _events(parts: AsyncGenerator[dict[str, Any]]) -> AsyncGenerator[str]:
    async with aclosing(parts):
        async for part in parts:
            yield event(part)
