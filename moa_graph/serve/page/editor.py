"""The routes of the mixture editor, for the owner of the server at this machine."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from moa_graph.graph.build import create_moa
from moa_graph.mixture.combiners import NAMES
from moa_graph.mixture.mixture import MAX_LAYERS
from moa_graph.serve.access import LOOPBACK, host_name
from moa_graph.serve.bodies import json_body
from moa_graph.serve.catalogue import Catalogue
from moa_graph.serve.page.document import Kind
from moa_graph.serve.page.edited import EditedMixture, form_of, read_form, summary, usable_models
from moa_graph.serve.page.routes import document_response
from moa_graph.serve.problems import Problem, problem

__all__ = ["EditorRoutes", "require_local"]

_MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class EditorRoutes:
    """The handlers. They answer only under a loopback name, whatever else the server allows."""

    catalogue: Catalogue

    async def page(self, request: Request) -> Response:
        """GET /moa/editor: the document."""
        try:
            require_local(request)
        except Problem as refusal:
            return refusal.response()
        return document_response(Kind.EDITOR, request)

    async def choices(self, request: Request) -> Response:
        """GET /moa/editor/choices: the models that the keys allow, the combiners, and the served mixtures as forms."""
        try:
            require_local(request)
            models = await asyncio.to_thread(usable_models)
        except Exception as exc:
            return problem(exc).response()
        forms = [form_of(name, each) for name, each in self.catalogue.owned.items() if not each.rounds]
        answer = {"models": models, "combiners": list(NAMES), "max_layers": MAX_LAYERS, "mixtures": forms}
        return JSONResponse(answer, headers={"cache-control": "no-store"})

    async def check(self, request: Request) -> Response:
        """POST /moa/editor/check: problems, calls, expected cost, and the mixture file."""
        return await self._answer(request, add=False)

    async def add(self, request: Request) -> Response:
        """POST /moa/editor/add: the same, and the mixture can be asked under its name until the server stops."""
        return await self._answer(request, add=True)

    async def _answer(self, request: Request, *, add: bool) -> Response:
        try:
            require_local(request)
            form = await json_body(request, _MAX_BYTES)
            found = await asyncio.to_thread(read_form, form, self.catalogue.owned)
            answer = {"problems": found.problems, "yaml": _yaml(found), "name": None}
            if found.mixture:
                answer |= await asyncio.to_thread(summary, found.mixture)
                if add:
                    # Building a graph reads files, which the event loop must not.
                    graph = await asyncio.to_thread(create_moa, found.mixture, name="moa")
                    answer["name"] = self.catalogue.add(found.mixture, graph)
        except Exception as exc:
            # The editor shows a message; `problem` logs what is unexpected.
            return problem(exc).response()
        return JSONResponse(answer, headers={"cache-control": "no-store"})


def _yaml(found: EditedMixture) -> str:
    order = ("name", "description", "proposers", "aggregator", "layers", "combine")
    fields: dict[str, Any] = {name: found.fields[name] for name in order if name in found.fields}
    return str(yaml.safe_dump({**fields, **found.fields}, sort_keys=False, allow_unicode=True, width=100))


def require_local(request: Request) -> None:
    """Refuse a request that does not name this machine itself: one that comes through a proxy or a tunnel."""
    if host_name(request.headers) not in LOOPBACK:
        raise Problem(
            403, "This page is only for the owner of the server, at http://127.0.0.1.", code="editor_is_local"
        )
