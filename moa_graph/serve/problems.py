"""What is told to an HTTP client when something is wrong: OpenAI's shape, and the status that fits."""

from __future__ import annotations

import logging
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

_log = logging.getLogger(__name__)


class Problem(Exception):
    """An answer that is an error: HTTP status, message, and OpenAI's `type`, `code` and `param`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.code, self.param = status, kind, code, param
        # The run has retried what could be retried; a client that asks again pays for the whole mixture again.
        self.headers = {"x-should-retry": "false", **(headers or {})}

    @property
    def body(self) -> dict[str, Any]:
        """The error as clients of OpenAI read it."""
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status, self.headers)


_KINDS: list[tuple[type[MoAError], int, str, str | None]] = [
    (InputError, 400, "invalid_request_error", "invalid_messages"),
    (MissingKeyError, 503, "server_error", "missing_key"),
    (ConfigError, 500, "server_error", "configuration"),
    (BudgetError, 402, "insufficient_quota", "budget"),
    (DeadlineError, 504, "server_error", "deadline"),
    (NotEnoughDraftsError, 502, "server_error", "not_enough_drafts"),
    (AggregationError, 502, "server_error", "aggregation_failed"),
]


def problem(error: Exception) -> Problem:
    """The problem that an exception of a run is to its client; what nobody foresaw is logged and not shown."""
    if isinstance(error, Problem):
        return error
    for cls, status, kind, code in _KINDS:
        if isinstance(error, cls):
            return Problem(status, str(error), kind=kind, code=code)
    _log.error("a run ended unexpectedly", exc_info=error)
    message = f"{type(error).__name__} inside the server; its log has the rest."
    return Problem(500, message, kind="server_error", code="internal")
