"""What a fault is, whether asking again can help, and when.

There is one owner of retries (calls.py); everything below it gets `max_retries=0`. This room is its
judgement: it reads exceptions of the openai SDK, of LangChain's typed model errors, of httpx, httpx2 and
aiohttp, and of chat models nobody here has seen, by what they carry (status, code, headers, words), so none
of those libraries is imported.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from dataclasses import dataclass
from typing import Literal

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)

from moa_graph.models.fault_reading import (
    chain_of,
    codes_of,
    get,
    header,
    response_of,
    retry_after,
    status_of,
    words_of,
)
from moa_graph.models.limits import ReplyTooLarge
from moa_graph.models.redaction import one_line

__all__ = [
    "Fault",
    "Kind",
    "ProviderError",
    "classify",
    "judged",
    "own_cancellation",
]

Kind = Literal[
    "rate_limit",
    "server",
    "timeout",
    "connection",
    "malformed",
    "auth",
    "not_found",
    "bad_request",
    "context_overflow",
    "quota",
    "content",
    "unknown",
]
"""`malformed`: a reply that is not what the protocol promises. `content`: withheld by the provider's
policy."""

RETRYABLE: frozenset[str] = frozenset({"rate_limit", "server", "timeout", "connection", "malformed"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One failed request, judged.

    `retry_after` is in seconds, as the provider asked for it, without jitter. `reason` is one scrubbed line
    in the provider's own words. `unsent`: there was no connection, so the provider has seen nothing of it.
    """

    kind: Kind
    retryable: bool
    retry_after: float | None
    status: int | None
    reason: str
    unsent: bool = False


_BY_STATUS: dict[int, Kind] = {
    401: "auth",
    402: "quota",
    403: "auth",
    404: "not_found",
    408: "timeout",
    409: "server",  # a conflict or a lock timeout: the SDKs ask again, and so do we
    413: "context_overflow",
    425: "server",
    429: "rate_limit",
    451: "content",
    504: "timeout",
}
_BY_CODE: dict[str, Kind] = {
    "server_error": "server",
    "internal_error": "server",
    "internal_server_error": "server",
    "api_error": "server",
    "overloaded_error": "server",
    "service_unavailable": "server",
    "rate_limit_exceeded": "rate_limit",
    "rate_limit_error": "rate_limit",
    "too_many_requests": "rate_limit",
    "invalid_api_key": "auth",
    "authentication_error": "auth",
    "model_not_found": "not_found",
    "invalid_request_error": "bad_request",
}
"""For an error object that came without a status: in a stream, or in a reply of 200."""

_BY_TYPE: list[tuple[type[BaseException], Kind]] = [
    (ContextOverflowError, "context_overflow"),
    (ModelRateLimitError, "rate_limit"),
    (ModelAuthenticationError, "auth"),
    (ModelPermissionDeniedError, "auth"),
    (ModelNotFoundError, "not_found"),
    (ModelInvalidRequestError, "bad_request"),
    (ModelTimeoutError, "timeout"),
    (ModelConnectionError, "connection"),
    (ModelAPIError, "server"),
    (json.JSONDecodeError, "malformed"),
    (UnicodeEncodeError, "bad_request"),
    (TimeoutError, "timeout"),
    (ConnectionError, "connection"),
    (ssl.SSLError, "connection"),
    (EOFError, "connection"),
]
_BY_NAME: list[tuple[re.Pattern[str], Kind]] = [
    (re.compile(r"Timeout"), "timeout"),
    (re.compile(r"RateLimit|TooManyRequests|ResourceExhausted"), "rate_limit"),
    (re.compile(r"ResponseValidation|DecodingError"), "malformed"),
    (
        re.compile(
            r"^(?:APIConnection|Connect(?:ion)?|Network|Transport|Protocol|Read|Write|Close"
            r"|Server(?:Disconnected)?|Client(?:OS|Connection|Connector|ConnectorDNS|Payload)|gai|Proxy)(?:Error)?$|^gaierror$"
        ),
        "connection",
    ),
]
_QUOTA_CODES = re.compile(
    r"insufficient_quota|billing_hard_limit_reached|billing_not_active|insufficient_balance|"
    r"insufficient_credits|credits_exhausted|credit_limit|payment_required|"
    r"account_deactivated|access_terminated"
)
_OVERFLOW_CODES = re.compile(
    r"context_length_exceeded|context_window_exceeded|model_context_window_exceeded|string_above_max_length|"
    r"prompt_too_long|request_too_large|input_too_long|context_overflow|"
    r"max_tokens_exceeded|exceed_context_size_error"
)
_CONTENT_CODES = re.compile(
    r"content_policy_violation|content_filter|content_filtered|moderation_blocked|"
    r"safety|responsibleaipolicyviolation|data_inspection_failed|sensitive_content"
)
_QUOTA_WORDS = re.compile(
    r"exceeded your current quota|credit balance is too low|insufficient (?:balance|credit|fund)|billing",
    re.I,
)
_OVERFLOW_WORDS = re.compile(
    r"(?:maximum|max|model'?s?) context (?:length|window|size)|context[_ ](?:length|window|size)[_ ]exceeded"
    r"|exceeds? (?:the )?(?:available |model'?s? |maximum )*(?:context|input token)"
    r"|(?:prompt|input|request) (?:is )?too (?:long|large)|input length .{0,40}exceed"
    r"|tokens? \+ .?max_(?:new_)?tokens.? must be|input tokens exceed"
    r"|reduce the length of the (?:messages|prompt|input)"
    r"|too many (?:input )?tokens in|token count .{0,40}exceed",
    re.I,
)


def classify(exc: BaseException) -> Fault:
    """Judge what a chat model raised. Never raises itself, whatever the exception is made of."""
    chain = list(chain_of(exc))
    status = next((s for s in map(status_of, chain) if s is not None), None)
    codes = {c for e in chain for c in codes_of(e)}
    words = words_of(chain)
    wait = next((w for w in map(retry_after, chain) if w is not None), None)
    kind = _kind(chain, status, codes, words, wait)
    if kind == "malformed":
        words = f"the reply does not keep to the protocol ({words})"
    reason = f"{status} {words}" if status and not words.startswith(str(status)) else words
    return Fault(kind, _retryable(chain, kind), wait, status, one_line(reason), unsent=any(map(_unconnected, chain)))


def _kind(chain: list[BaseException], status: int | None, codes: set[str], words: str, wait: float | None) -> Kind:
    """Codes say more than a status, a status more than a type, a type more than words."""
    if any(isinstance(exc, ReplyTooLarge) for exc in chain):
        return "malformed"
    if any(map(_QUOTA_CODES.fullmatch, codes)):
        return "quota"
    if any(map(_OVERFLOW_CODES.fullmatch, codes)):
        return "context_overflow"
    if any(map(_CONTENT_CODES.fullmatch, codes)):
        return "content"
    if status in (400, 422, None) and _OVERFLOW_WORDS.search(words):
        return "context_overflow"
    if status in (400, 403, 429) and wait is None and _QUOTA_WORDS.search(words):
        # Some providers say "quota" for a plain rate limit; those also say when to come back.
        return "quota"
    if status is None and (named := next((_BY_CODE[c] for c in codes if c in _BY_CODE), None)):
        return named
    if status is not None and status >= 400:
        return _BY_STATUS.get(status, "server" if status >= 500 else "bad_request")
    return _kind_by_type(chain)


def _kind_by_type(chain: list[BaseException]) -> Kind:
    for exc in chain:
        for known, kind in _BY_TYPE:
            if isinstance(exc, known):
                return kind
        names = [c.__name__ for c in type(exc).__mro__ if c is not OSError]
        for pattern, kind in _BY_NAME:
            if any(pattern.search(name) for name in names):
                return kind
    if isinstance(chain[0], TypeError | LookupError | AttributeError | ValueError) and _from_client(chain[0]):
        return "malformed"  # an SDK that stumbles over a reply: no choices, a string where an object should be
    return "connection" if isinstance(chain[0], OSError) else "unknown"


_NO_CONNECTION = frozenset({"ConnectionRefusedError", "gaierror", "ClientConnectorError", "ConnectError"})
"""Of the operating system, of aiohttp, of httpx; certificates and names among them."""


def _unconnected(exc: BaseException) -> bool:
    return any(kind.__name__ in _NO_CONNECTION for kind in type(exc).__mro__)


_CLIENTS = frozenset({"openai", "langchain_core", "langchain_openai", "langchain_together"})


def _from_client(exc: BaseException) -> bool:
    """Whether it was raised in a provider's own client code."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return name.partition(".")[0] in _CLIENTS or name.startswith("moa_graph.models.openai_http")


def _retryable(chain: list[BaseException], kind: Kind) -> bool:
    if any(isinstance(e, ssl.SSLCertVerificationError | ReplyTooLarge) for e in chain):
        return False  # the certificate will be as wrong, and the reply as large, a second later
    should = header(response_of(chain[0]), "x-should-retry")
    if should in ("true", "false") and kind != "quota":
        return should == "true"
    if kind == "unknown":
        # A foreign model may know itself.
        return get(chain[0], "is_retryable") is True
    return kind in RETRYABLE


class ProviderError(Exception):
    """What a provider did wrong, as one scrubbed line; `fault` is the judgement."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.reason)
        self.fault = fault

    @property
    def is_retryable(self) -> bool:
        return self.fault.retryable


def own_cancellation() -> bool:
    """Whether nobody cancelled this task, so that a `CancelledError` is the doing of what it called."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() == 0


def judged(exc: BaseException) -> Fault:
    """The fault behind an exception of a guarded model, or of any other."""
    if isinstance(exc, ProviderError):
        return exc.fault
    if isinstance(exc, asyncio.CancelledError):
        return Fault("unknown", False, None, None, "the model's own call was cancelled inside it")
    return classify(exc)
