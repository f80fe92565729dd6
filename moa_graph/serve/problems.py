"""Errors for HTTP clients: the matching status, in OpenAI's shape, and in Anthropic's under `/v1/messages`.

A failed run is a 424 (Failed Dependency): clients retry a 5xx, 408, 409 or 429 on their own, and each retry would pay
for the whole mixture again. The run has already made all useful retries.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse

from moa_graph.errors import (
    AggregationError,
    BudgetError,
    ConfigError,
    DeadlineError,
    InputError,
    MissingKeyError,
    MoAError,
    NotEnoughDraftsError,
)
from moa_graph.state import Draft

_log = logging.getLogger(__name__)

FAILED = 424
"""The status of a run that failed."""

_ANTHROPIC = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}
"""Anthropic's `type` of error by status."""


class Problem(Exception):
    """An error response.

    Args:
        status: The HTTP status.
        message: The problem and its solution.
        kind: OpenAI's `type` of error.
        code: OpenAI's `code`.
        param: The request's field that is wrong.
        headers: Further headers.
        drafts: The drafts that a failed run has paid for; sent as `moa.drafts` beside the error.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
        drafts: Sequence[Draft] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.code, self.param = status, kind, code, param
        self.drafts = list(drafts)
        self.headers = {"x-should-retry": "false", **(headers or {})}

    @property
    def body(self) -> dict[str, Any]:
        """The error in OpenAI's shape."""
        error = {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}
        return {"error": error, **({"moa": {"drafts": self.drafts}} if self.drafts else {})}

    @property
    def anthropic_body(self) -> dict[str, Any]:
        """The error in Anthropic's shape."""
        wrong = 400 <= self.status < 500 and self.status != FAILED
        kind = _ANTHROPIC.get(self.status, "invalid_request_error" if wrong else "api_error")
        error = {"type": kind, "message": str(self)}
        return {"type": "error", "error": error, **({"moa": {"drafts": self.drafts}} if self.drafts else {})}

    def response(self, path: str = "", headers: Mapping[str, str] | None = None) -> JSONResponse:
        """Return the response to a request, in the shape that its clients read.

        Args:
            path: The request's path.
            headers: The request's headers. Anthropic's SDKs name the version of their API.
        """
        named = "anthropic-version" in (headers or {})
        anthropic = named or path == "/v1/messages" or path.startswith("/v1/messages/")
        return JSONResponse(self.anthropic_body if anthropic else self.body, self.status, self.headers)


def server_stopping() -> Problem:
    """Return the error for a request that the server cancels because it stops."""
    return Problem(503, "The server is stopping. Ask again when it runs.", kind="server_error", code="server_stopping")


def too_large(limit: int) -> Problem:
    """Return the error for a body of more than `limit` bytes."""
    return Problem(413, f"The request is larger than {limit:,} bytes.", code="request_too_large")


_KINDS: list[tuple[type[MoAError], int, str, str | None]] = [
    (InputError, 400, "invalid_request_error", "invalid_messages"),
    (MissingKeyError, 503, "server_error", "missing_key"),
    (ConfigError, 500, "server_error", "configuration"),
    (BudgetError, 402, "insufficient_quota", "budget"),
    (DeadlineError, FAILED, "server_error", "deadline"),
    (NotEnoughDraftsError, FAILED, "server_error", "not_enough_drafts"),
    (AggregationError, FAILED, "server_error", "aggregation_failed"),
]


def problem(error: Exception) -> Problem:
    """Return the error response for an exception of a run; an unexpected one is logged, and its text is hidden."""
    if isinstance(error, Problem):
        return error
    for cls, status, kind, code in _KINDS:
        if isinstance(error, cls):
            return Problem(status, str(error), kind=kind, code=code, drafts=error.drafts)
    _log.error("a run ended unexpectedly", exc_info=error)
    message = f"{type(error).__name__} inside the server; its log has the details."
    return Problem(500, message, kind="server_error", code="internal")
