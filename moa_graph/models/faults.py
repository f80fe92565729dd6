"""Classify a failed request: what kind of fault it is, whether to retry, and when.

`call.py` owns all retries; every client below it has `max_retries=0`. This module decides for it. It reads exceptions
of the openai SDK, botocore, LangChain, httpx and aiohttp, and of chat models it has never seen, by what they carry
(status, codes, headers, words), so none of those libraries is imported.
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
    broken_http,
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
    "STREAM_CUT",
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
"""`malformed`: the reply does not keep to the protocol. `content`: the provider's policy forbids the request."""

RETRYABLE: frozenset[str] = frozenset({"rate_limit", "server", "timeout", "connection", "malformed"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One failed request, classified.

    Attributes:
        kind: what went wrong.
        retryable: whether another attempt may succeed.
        retry_after: seconds that the provider asked to wait, without jitter, or None.
        status: the HTTP status that the provider sent, or None.
        reason: one redacted line in the provider's own words.
        unsent: there was no connection, so that the provider cannot have billed the request.
    """

    kind: Kind
    retryable: bool
    retry_after: float | None
    status: int | None
    reason: str
    unsent: bool = False


STREAM_CUT = Fault("connection", True, None, None, "the stream ended before the answer did")

_BY_STATUS: dict[int, Kind] = {
    401: "auth",
    402: "quota",
    403: "auth",
    404: "not_found",
    408: "timeout",
    409: "server",  # a conflict or a lock timeout, which the SDKs retry as well
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
    "overloaded": "server",
    "unavailable": "server",
    "internal": "server",
    "timeout": "timeout",
    "deadline_exceeded": "timeout",
    "rate_limited": "rate_limit",
    "rate_limit": "rate_limit",
    "resource_exhausted": "rate_limit",
    "unauthenticated": "auth",
    "unauthorized": "auth",
    "permission_denied": "auth",
    "forbidden": "auth",
    "not_found": "not_found",
    "not_found_error": "not_found",
    "invalid_argument": "bad_request",
    "bad_request": "bad_request",
    # Amazon Bedrock.
    "throttlingexception": "rate_limit",
    "toomanyrequestsexception": "rate_limit",
    "serviceunavailableexception": "server",
    "internalserverexception": "server",
    "modelerrorexception": "server",
    "modelstreamerrorexception": "server",
    "modelnotreadyexception": "server",
    "modeltimeoutexception": "timeout",
    "accessdeniedexception": "auth",
    "unrecognizedclientexception": "auth",
    "expiredtokenexception": "auth",
    "resourcenotfoundexception": "not_found",
    "validationexception": "bad_request",
    "servicequotaexceededexception": "quota",
}
"""For an error object without a status: in a stream, or in a reply with status 200."""

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
    """Classify what a chat model raised. Never raises, whatever the exception is made of."""
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
    """Return the kind. Codes tell more than a status, a status more than a type, a type more than words."""
    if any(isinstance(exc, ReplyTooLarge) for exc in chain):
        return "malformed"
    if any(map(broken_http, chain)):
        return "connection"
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
        return "malformed"  # a client that cannot read a reply: no choices, a text instead of an object
    return "connection" if isinstance(chain[0], OSError) else "unknown"


_NO_CONNECTION = frozenset({"ConnectionRefusedError", "gaierror", "ClientConnectorError", "ConnectError"})
"""Classes of the operating system, aiohttp and httpx that mean that nothing was sent."""


def _unconnected(exc: BaseException) -> bool:
    return any(kind.__name__ in _NO_CONNECTION for kind in type(exc).__mro__)


_CLIENTS = frozenset({"openai", "langchain_core", "langchain_openai", "langchain_together", "pydantic", "orjson"})


def _from_client(exc: BaseException) -> bool:
    """Whether an exception was raised in a provider's client."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return name.partition(".")[0] in _CLIENTS or name.startswith("moa_graph.models.openai_http")


def _retryable(chain: list[BaseException], kind: Kind) -> bool:
    if any(isinstance(e, ssl.SSLCertVerificationError | ReplyTooLarge) for e in chain):
        return False  # the next attempt would find the same certificate, and a reply as large
    should = header(response_of(chain[0]), "x-should-retry")
    if should in ("true", "false") and kind != "quota":
        return should == "true"
    if kind == "unknown":
        # A chat model of the caller's own may decide for itself.
        return get(chain[0], "is_retryable") is True
    return kind in RETRYABLE


class ProviderError(Exception):
    """A provider's fault as one redacted line.

    Attributes:
        fault: the classified fault.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.reason)
        self.fault = fault

    @property
    def is_retryable(self) -> bool:
        return self.fault.retryable


def own_cancellation() -> bool:
    """Whether this task was not cancelled, so that a `CancelledError` comes from what it called."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() == 0


def judged(exc: BaseException) -> Fault:
    """Return the fault behind an exception of a redacting model, or of any other."""
    if isinstance(exc, ProviderError):
        return exc.fault
    if isinstance(exc, asyncio.CancelledError):
        return Fault("unknown", False, None, None, "the model's own call was cancelled inside it")
    return classify(exc)
