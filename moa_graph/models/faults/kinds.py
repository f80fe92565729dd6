"""The kinds of faults, and the tables that find a kind by status, code, class or words."""

from __future__ import annotations

import json
import re
import ssl
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

__all__ = [
    "BY_CODE",
    "BY_NAME",
    "BY_STATUS",
    "BY_TYPE",
    "CONTENT_CODES",
    "CONTENT_WORDS",
    "OVERFLOW_CODES",
    "OVERFLOW_WORDS",
    "QUOTA_CODES",
    "QUOTA_WORDS",
    "RETRYABLE",
    "Kind",
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

BY_STATUS: dict[int, Kind] = {
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
BY_CODE: dict[str, Kind] = {
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

BY_TYPE: list[tuple[type[BaseException], Kind]] = [
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
BY_NAME: list[tuple[re.Pattern[str], Kind]] = [
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
QUOTA_CODES = re.compile(
    r"insufficient_quota|billing_hard_limit_reached|billing_not_active|insufficient_balance|"
    r"insufficient_credits|credits_exhausted|credit_limit|payment_required|"
    r"account_deactivated|access_terminated"
)
OVERFLOW_CODES = re.compile(
    r"context_length_exceeded|context_window_exceeded|model_context_window_exceeded|string_above_max_length|"
    r"prompt_too_long|request_too_large|input_too_long|context_overflow|"
    r"max_tokens_exceeded|exceed_context_size_error"
)
CONTENT_CODES = re.compile(
    r"content_policy_violation|content_filter|content_filtered|moderation_blocked|"
    r"safety|responsibleaipolicyviolation|data_?inspection_?failed|moderation|sensitive_content"
)
QUOTA_WORDS = re.compile(
    r"exceeded your current quota|credit balance is too low|insufficient (?:balance|credit|fund)|billing|arrearage"
    r"|(?:run )?out of credits|spending limit",
    re.I,
)
OVERFLOW_WORDS = re.compile(
    r"(?:maximum|max|model'?s?) context (?:length|window|size)|context[_ ](?:length|window|size)[_ ]exceeded"
    r"|exceeds? (?:the )?(?:available |model'?s? |maximum )*(?:context|input token)"
    r"|(?:prompt|input|request) (?:is )?too (?:long|large)|input length .{0,40}exceed"
    r"|tokens? \+ .?max_(?:new_)?tokens.? must be|input tokens exceed"
    r"|reduce the length of the (?:messages|prompt|input)"
    r"|too many (?:input )?tokens(?: in|:)|range of input length should be|token count .{0,40}exceed"
    r"|inputs? must have less than \d+ tokens|exceeded (?:the )?model token limit|context size has been exceeded"
    r"|when context the overflows",  # LM Studio
    re.I,
)
CONTENT_WORDS = re.compile(
    r"content (?:management |filter\w* |moderation )?policy|content filter|usage polic(?:y|ies)|safety system"
    r"|(?:was|been) flagged|inappropriate content|content exists risk",
    re.I,
)
