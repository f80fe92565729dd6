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
    "BY_WORDS",
    "CONTENT_CODES",
    "CONTENT_WORDS",
    "GENERATION_CODES",
    "GENERIC_CODES",
    "LARGE_WORDS",
    "OVERFLOW_CODES",
    "OVERFLOW_WORDS",
    "PASSING_WORDS",
    "QUOTA_CODES",
    "QUOTA_WORDS",
    "REQUEST_WORDS",
    "RETRYABLE",
    "THROTTLE_WORDS",
    "UNKNOWN_OPTION",
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
    424: "server",  # what the model behind a gateway did, as Amazon Bedrock reports it
    425: "server",
    429: "rate_limit",
    451: "content",
    498: "server",  # Groq has no capacity
    499: "server",  # Gemini cancelled the request
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
    "server_overloaded": "server",
    "server_is_overloaded": "server",
    "service_unavailable_error": "server",
    "unavailable": "server",
    "internal": "server",
    "timeout": "timeout",
    "request_timeout": "timeout",
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

GENERIC_CODES = frozenset({"invalid_request_error", "api_error", "invalid_argument", "bad_request"})
"""Codes of families of errors. Servers give one of these beside a code that says more."""

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
GENERATION_CODES = re.compile(r"tool_use_failed|json_validate_failed|output_parse_failed")
"""Groq answers with status 400 when it cannot read what the model wrote. Another attempt may be readable."""

QUOTA_CODES = re.compile(
    r"insufficient_quota|billing_hard_limit_reached|billing_not_active|insufficient_balance|"
    r"insufficient_credits|credits_exhausted|credit_limit|payment_required|"
    r"account_deactivated|access_terminated|usage_limit_reached|budget_exceeded|insufficient_user_quota|"
    r"pre_consume_token_quota_failed|arrearage|accountoverdueerror|setlimitexceeded|allocationquota\.freetieronly"
)
OVERFLOW_CODES = re.compile(
    r"context_length_exceeded|context_window_exceeded|model_context_window_exceeded|string_above_max_length|"
    r"prompt_too_long|request_too_large|input_too_long|context_overflow|"
    r"max_tokens_exceeded|exceed_context_size_error|tokens_limit_reached"
)
CONTENT_CODES = re.compile(
    r"content_policy_violation|content_filter|content_filtered|moderation_blocked|"
    r"safety|responsibleaipolicyviolation|data_?inspection_?failed|moderation|sensitive_content|"
    r"\w{0,40}sensitivecontentdetected(?:\.\w{1,40})?"
)
QUOTA_WORDS = re.compile(
    r"exceeded your current quota|credit balance is too low|insufficient (?:balance|credit|fund)|billing|arrearage"
    r"|(?:run )?out of credits|spending limit|included credits|any credits|usage limit (?:has been )?reached"
    r"|(?:daily|session|weekly|monthly|api) usage limit|key limit exceeded|budget (?:limit )?(?:has been )?exceeded"
    r"|free allocation|over budget|exceeded budget|balance is insufficient|overdue balance"
    r"|余额不足|欠费|额度(?:不足|已用尽)|预扣费额度失败",  # of Zhipu and of gateways
    re.I,
)
THROTTLE_WORDS = re.compile(r"allocat(?:ed |ion)quota|error-code#token-limit|\b[rt]p[md] limit reached", re.I)
"""Words for a limit of tokens in a minute of Alibaba, which reports it under the code of an empty account, and of
SiliconFlow, which does so with status 403."""
LARGE_WORDS = re.compile(r"request too large|tokens must be reduced", re.I)
"""Words for a prompt that is larger than the tokens of a whole minute, which OpenAI reports as a rate limit."""
PASSING_WORDS = re.compile(
    # Those of LM Studio, and of NVIDIA.
    r"model (?:is |was |has been )?unloaded|model has crashed|operation cancell?ed|^(?:error: )?channel error"
    r"|degraded function",
    re.I,
)
"""Words for a fault of the server that passes, which it reports with status 400."""
OVERFLOW_WORDS = re.compile(
    r"(?:maximum|max|model'?s?) context (?:length|window|size)|context[_ ](?:length|window|size)[_ ]exceeded"
    r"|exceeds? (?:the )?(?:available |model'?s? |maximum )*(?:context|input token)"
    r"|(?:prompt|input|request) (?:is )?too (?:long|large)|input length .{0,40}exceed"
    r"|tokens? \+ .?max_(?:new_)?tokens.? must be|input tokens exceed"
    r"|reduce the length of the (?:messages|prompt|input)"
    r"|too many (?:input )?tokens(?: in|:)|range of input length should be|token count .{0,40}exceed"
    r"|inputs?\W? must have less than \d+ tokens|exceeded (?:the )?model token limit|context size has been exceeded"
    r"|maximum prompt length|prompt length exceed|tokens? (?:too long|limit exceeded)|context window exceeds"
    r"|(?:greater|longer) than the (?:maximum )?(?:context|model) length|maximum supported sequence length"
    r"|exceed max message tokens|input tokens \d+ cannot exceed|max tokens of \d+ exceeded"
    r"|(?:prompt|input)[^.]{0,40} exceeds? (?:the )?(?:max|limit)|number of tokens exceeds|contextwindowexceeded"
    r"|when context the overflows|n_keep [^.]{0,20}>= n_ctx"  # LM Studio
    r"|max_(?:completion_)?tokens must be at least 1, got -|too long to fit into the model"  # vLLM: nothing is left
    r"|token count is \d+ but (?:the )?model (?:only )?supports|should not exceed max_num_tokens"  # Vertex AI, TensorRT
    r"|(?:prompt |上下文)(?:长度)?超|长度超限",  # Zhipu
    re.I,
)
CONTENT_WORDS = re.compile(
    r"content (?:management |filter\w* |moderation )?policy|content filter|usage polic(?:y|ies)|safety system"
    r"|(?:was|been) flagged|inappropriate content|content exists risk|usage guidelines|contentpolicyviolation"
    r"|unsafe or sensitive|sensitive information|new_sensitive|blocked by guardrail",
    re.I,
)

REQUEST_WORDS = re.compile(
    r"invalid|unsupported|not (?:supported|found|allowed|exist)|unauthori[sz]ed|forbidden|denied|api key", re.I
)
"""Words of an error that another attempt cannot mend."""

UNKNOWN_OPTION = re.compile(r"\b(?:create|stream|complete|complete_async)\(\) got an unexpected keyword argument")
"""Words of an SDK that does not take an option of the request, such as `n` with OpenAI's Responses API."""

BY_WORDS: list[tuple[re.Pattern[str], Kind]] = [
    (re.compile(r"rate.?limit|too many requests|throttl|resource.?exhausted", re.I), "rate_limit"),
    (re.compile(r"timed? ?out", re.I), "timeout"),
    (
        re.compile(
            r"overload|at capacity|busy|unavailable|internal (?:server )?error|(?:server|unknown) error|bad gateway"
            r"|try (?:again|your request again)|disconnect|upstream",
            re.I,
        ),
        "server",
    ),
]
"""For what a server reports in a reply with status 200 with words only."""
