"""Classification and retries of faults, tested with the libraries' real exceptions."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import ssl
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import aiohttp
import httpx
import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import ContextOverflowError, ModelAPIError, ModelRateLimitError
from langchain_openai.chat_models.base import _handle_openai_api_error, _handle_openai_bad_request

from moa_graph.models.faults.faults import Fault, classify
from moa_graph.models.faults.retries import RetryBudget, backoff
from moa_graph.models.faults.retry_after import retry_after

REQUEST = httpx2.Request("POST", "https://api.example.com/v1/chat/completions")
NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())


def sdk_error(status: int, error: Any = None, headers: dict[str, str] | None = None) -> openai.APIStatusError:
    """The exception the openai SDK itself makes for such a reply."""
    body = {"error": error if error is not None else {"message": f"said {status}"}}
    response = httpx2.Response(status, json=body, headers=headers, request=REQUEST)
    client = openai.OpenAI(api_key="x", base_url="https://api.example.com/v1")
    return client._make_status_error_from_response(response)


def typed(error: openai.APIError) -> Exception:
    """The same as langchain-openai raises it."""
    handle = _handle_openai_bad_request if isinstance(error, openai.BadRequestError) else _handle_openai_api_error
    try:
        try:
            raise error
        except openai.APIError as exc:
            handle(exc)  # type: ignore[arg-type]
    except openai.APIError as exc:
        return exc
    raise AssertionError("it raises")


STATUS = [
    (400, "bad_request", False),
    (401, "auth", False),
    (402, "quota", False),
    (403, "auth", False),
    (404, "not_found", False),
    (408, "timeout", True),
    (409, "server", True),
    (413, "context_overflow", False),
    (422, "bad_request", False),
    (424, "server", True),
    (429, "rate_limit", True),
    (451, "content", False),
    (500, "server", True),
    (502, "server", True),
    (503, "server", True),
    (504, "timeout", True),
    (498, "server", True),
    (499, "server", True),
    (529, "server", True),
]


@pytest.mark.parametrize(("status", "kind", "retryable"), STATUS)
def test_a_status_decides_for_the_sdk_and_for_langchain(status: int, kind: str, retryable: bool) -> None:
    for error in (sdk_error(status), typed(sdk_error(status))):
        fault = classify(error)
        assert (fault.kind, fault.retryable, fault.status) == (kind, retryable, status)
        assert fault.reason == f"{status} said {status}"


@pytest.mark.parametrize(("status", "kind", "retryable"), STATUS)
def test_a_status_decides_for_http_clients(status: int, kind: str, retryable: bool) -> None:
    url = "https://api.example.com/v1"
    reply = httpx.Response(status, request=httpx.Request("POST", url))
    info = aiohttp.RequestInfo(url, "POST", {}, url)  # type: ignore[arg-type]
    for error in (
        httpx.HTTPStatusError("no", request=reply.request, response=reply),
        aiohttp.ClientResponseError(info, (), status=status, message="no"),
    ):
        fault = classify(error)
        assert (fault.kind, fault.retryable, fault.status) == (kind, retryable, status)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}, "quota"),
        (429, {"message": "Please try later", "code": "insufficient_quota"}, "quota"),
        (429, {"message": "Please try later", "code": "billing_hard_limit_reached"}, "quota"),
        (429, {"message": "You exceeded your current quota, please check your plan"}, "quota"),
        (400, {"message": "Your credit balance is too low", "type": "invalid_request_error"}, "quota"),
        (400, {"message": "no", "code": "context_length_exceeded"}, "context_overflow"),
        (400, {"message": "This model's maximum context length is 8192 tokens."}, "context_overflow"),
        (400, {"message": "prompt is too long: 210000 tokens > 200000 maximum"}, "context_overflow"),
        (422, {"message": "`inputs` tokens + `max_new_tokens` must be <= 32769"}, "context_overflow"),
        (500, {"message": "no", "code": "context_length_exceeded"}, "context_overflow"),
        (400, {"message": "flagged", "code": "content_policy_violation"}, "content"),
        (
            400,
            {"message": "x", "code": "", "innererror": {"code": "ResponsibleAIPolicyViolation"}},
            "content",
        ),
        (429, {"message": "too many tokens per minute: context length"}, "rate_limit"),
        (429, {"message": "Allocated quota exceeded", "code": "insufficient_quota"}, "rate_limit"),
        (429, {"message": "Your quota: x/error-code#token-limit", "type": "insufficient_quota"}, "rate_limit"),
        (400, {"message": "Failed to call a function.", "code": "tool_use_failed"}, "server"),
        (400, {"message": "Failed to generate JSON.", "code": "json_validate_failed"}, "server"),
        (400, {"message": "Encountered a server error", "type": "server_error", "code": ""}, "server"),
        (400, {"message": "closed", "type": "invalid_request_error", "code": "request_timeout"}, "timeout"),
        (400, {"message": "no tools here", "type": "api_error"}, "bad_request"),
        (429, {"message": "no", "type": "usage_limit_reached", "resets_in_seconds": 4000}, "quota"),
        (429, {"message": "paused", "code": "SetLimitExceeded"}, "quota"),
        (403, {"message": "overdue", "code": "AccountOverdueError"}, "quota"),
        (403, {"message": "exhausted", "code": "AllocationQuota.FreeTierOnly"}, "quota"),
        (400, {"message": "Access denied", "type": "Arrearage"}, "quota"),
        (400, {"message": "no", "code": "tokens_limit_reached"}, "context_overflow"),
        (400, {"message": "no", "code": "InputTextSensitiveContentDetected.PolicyViolation"}, "content"),
    ],
)
def test_codes_and_words_say_more_than_the_status(status: int, error: dict[str, Any], kind: str) -> None:
    for exc in (sdk_error(status, error), typed(sdk_error(status, error))):
        fault = classify(exc)
        assert fault.kind == kind
        assert fault.retryable is (kind in ("rate_limit", "server", "timeout"))


def test_a_quota_that_says_when_to_come_back_is_a_rate_limit() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}]
    error = {"message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED", "details": details}
    fault = classify(sdk_error(429, error))
    assert (fault.kind, fault.retry_after) == ("rate_limit", 7.0)


@pytest.mark.parametrize(
    ("exc", "kind", "retryable"),
    [
        (openai.APITimeoutError(REQUEST), "timeout", True),
        (openai.APIConnectionError(request=REQUEST), "connection", True),
        (httpx2.ConnectError("refused"), "connection", True),
        (httpx2.ReadTimeout("slow"), "timeout", True),
        (httpx2.RemoteProtocolError("peer closed"), "connection", True),
        (httpx.ReadError("reset"), "connection", True),
        (httpx.PoolTimeout("full"), "timeout", True),
        (aiohttp.ServerDisconnectedError(), "connection", True),
        (aiohttp.ClientPayloadError("not completed"), "connection", True),
        (aiohttp.ServerTimeoutError(), "timeout", True),
        (ConnectionResetError(104, "reset by peer"), "connection", True),
        (socket.gaierror(-3, "Temporary failure in name resolution"), "connection", True),
        (asyncio.IncompleteReadError(b"", 10), "connection", True),
        (TimeoutError(), "timeout", True),
        (ssl.SSLCertVerificationError("self-signed certificate"), "connection", False),
        (json.JSONDecodeError("Expecting value", "<html>", 0), "malformed", True),
        (ContextOverflowError("no"), "context_overflow", False),
        (ModelRateLimitError("slow down"), "rate_limit", True),
        (ModelAPIError("oops"), "server", True),
        (ValueError({"message": "no such model", "code": "model_not_found"}), "not_found", False),
        (ValueError({"message": "it broke", "type": "server_error"}), "server", True),
        (ValueError({"message": "ResourceExhausted: Worker local total request limit reached"}), "rate_limit", True),
        (RuntimeError("foreign"), "unknown", False),
        (KeyError("x"), "unknown", False),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), "bad_request", False),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, Exception) else str(v),
)
def test_exceptions_without_a_status(exc: Exception, kind: str, retryable: bool) -> None:
    fault = classify(exc)
    assert (fault.kind, fault.retryable, fault.status) == (kind, retryable, None)
    assert fault.reason and "\n" not in fault.reason


def test_the_cause_is_looked_for_under_the_wrapping() -> None:
    try:
        try:
            raise ssl.SSLCertVerificationError("certificate verify failed")
        except ssl.SSLError as inner:
            raise openai.APIConnectionError(request=REQUEST) from inner
    except openai.APIConnectionError as exc:
        fault = classify(exc)
    assert (fault.kind, fault.retryable) == ("connection", False)
    assert "certificate verify failed" in fault.reason and "SSL_CERT_FILE names" in fault.reason


def test_a_foreign_model_may_know_itself() -> None:
    class Busy(Exception):
        is_retryable = True

    assert classify(Busy("later")).retryable
    assert not classify(RuntimeError("later")).retryable


def test_a_hostile_exception_is_still_judged() -> None:
    class Hostile(Exception):
        @property
        def response(self) -> Any:
            raise ZeroDivisionError

        def __str__(self) -> str:
            raise ZeroDivisionError

    assert classify(Hostile()) == Fault("unknown", False, None, None, "Hostile")


def test_a_loop_of_causes_ends() -> None:
    one, two = RuntimeError("one"), RuntimeError("two")
    one.__cause__, two.__cause__ = two, one
    assert classify(one).reason == "one: two"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:05 GMT"}, 5.0),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:05 GMT", "date": "Sun, 22 Nov 2026 12:00:03 GMT"}, 2.0),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "inf"}, 86400.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "3, 3"}, 3.0),  # a gateway's and the provider's
        ({"retry-after": "3,7"}, 7.0),
        ({"retry-after-ms": "250, 500", "retry-after": "9"}, 0.5),
        ({"retry-after": "3, soon"}, None),
        ({"retry-after": "7s"}, 7.0),
        ({"retry-after": "1m30.5s"}, 90.5),
        ({"retry-after": "500ms"}, 0.5),
        ({"retry-after": "7 apples"}, None),
        ({"retry-after": "2026-11-22T12:00:05Z"}, 5.0),
        ({"retry-after": "2026-11-22T12:00:05"}, 5.0),
        # Times since 1970, in place of a wait.
        ({"retry-after": str(SECONDS + 20)}, 20.0),
        ({"retry-after": str((SECONDS + 20) * 1000)}, 20.0),
        ({"retry-after": str(SECONDS - 20)}, 0.0),
        ({"retry-after": str(SECONDS + 20), "date": "Sun, 22 Nov 2026 12:00:15 GMT"}, 5.0),
        ({"x-ratelimit-reset": "20", "x-ratelimit-remaining": "0"}, 20.0),
        ({"x-ratelimit-reset": str((SECONDS + 20) * 1000), "x-ratelimit-remaining": "0"}, 20.0),
        ({"x-ratelimit-reset": "20", "x-ratelimit-remaining": "5"}, None),
        ({"x-ratelimit-reset": "20"}, None),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-remaining-requests": "0"}, 360.0),
        (
            {
                "x-ratelimit-reset-requests": "6m0s",
                "x-ratelimit-remaining-requests": "9",
                "x-ratelimit-reset-tokens": "9s",
                "x-ratelimit-remaining-tokens": "0",
            },
            9.0,
        ),
        ({"x-ratelimit-reset-tokens": "0", "x-ratelimit-remaining-tokens": "-1"}, None),
        ({"x-ratelimit-reset-tokens": "55", "x-ratelimit-remaining-requests": "9"}, 55.0),
        ({"x-rate-limit-reset-tokens": "55"}, 55.0),
        ({"x-ratelimit-reset-tokens-minute": "11.5", "x-ratelimit-remaining-tokens-minute": "0"}, 11.5),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-11-22T12:00:30Z",
                "anthropic-ratelimit-tokens-remaining": "9",
                "anthropic-ratelimit-tokens-reset": "2026-11-22T12:01:00Z",
            },
            30.0,
        ),
        ({}, None),
    ],
)
def test_retry_after_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(sdk_error(429, headers=headers), now=NOW.timestamp()) == seconds


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please try again in 1.5s.", 1.5),
        ("Please try again in 120ms.", 0.12),
        ("try again in 2 minutes", 120.0),
        ("Your quota will reset after 5s.", 5.0),
        ("Limit resets in 30s", 30.0),
        ("available in 30 seconds", 30.0),
        ("Monthly usage limit reached. Resets in 12 days.", 86400.0),
    ],
)
def test_retry_after_in_words(words: str, seconds: float) -> None:
    assert retry_after(sdk_error(429, {"message": words})) == pytest.approx(seconds)


RESET = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str((SECONDS + 20) * 1000)}


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"error": {"message": "no", "metadata": {"headers": RESET}}}, 20.0),
        ({"error": {"message": "no", "metadata": {"headers": {"Retry-After": "12"}}}}, 12.0),
        ({"error": {"message": "no", "metadata": {"retry_after_seconds": 12}}}, 12.0),
        ({"error": {"message": "no", "details": [{"metadata": {"quotaResetDelay": "373.5ms"}}]}}, 0.3735),
        ({"error": {"message": "no", "details": [{"retryDelay": {"seconds": "26"}}]}}, 26.0),
        ([{"error": {"message": "no", "details": [{"x": 1}, {"retryDelay": "45.25s"}]}}], 45.25),
        ({"error": "Model x is currently loading", "estimated_time": 20.5}, 20.5),
        ({"error": {"message": "no"}, "retry_after": 7}, 7.0),
        ({"error": {"message": "no", "retryAfter": "7s"}}, 7.0),
        ({"error": {"message": "no", "retry_after": "2026-11-22T12:00:30Z"}}, 30.0),
        ({"error": {"message": "no", "resets_in_seconds": 30}}, 30.0),
        ({"error": {"message": "no", "resets_at": SECONDS + 30}}, 30.0),
        ({"error": {"message": "no", "retry_after": True, "details": [None, 5], "metadata": [1]}}, None),
    ],
)
def test_retry_after_anywhere_in_a_body(body: Any, seconds: float | None) -> None:
    response = httpx2.Response(429, json=body, request=REQUEST)
    client = openai.OpenAI(api_key="x", base_url="https://api.example.com/v1")
    error = client._make_status_error_from_response(response)
    assert retry_after(error, now=NOW.timestamp()) == seconds


@given(st.text(max_size=40))
def test_any_header_gives_a_sane_wait(text: str) -> None:
    class Failed(Exception):
        def __init__(self) -> None:
            self.headers = {"retry-after": text, "date": format_datetime(NOW, usegmt=True)}

    seconds = retry_after(Failed(), now=NOW.timestamp())
    assert seconds is None or 0.0 <= seconds <= 86400.0


def test_should_retry_header_wins() -> None:
    assert not classify(sdk_error(500, headers={"x-should-retry": "false"})).retryable
    assert classify(sdk_error(400, headers={"x-should-retry": "true"})).retryable


@given(st.integers(1, 50), st.floats(0, 100), st.randoms(use_true_random=False))
def test_backoff_is_never_shorter_than_the_providers_wait(attempt: int, wish: float, rng: random.Random) -> None:
    asked = Fault("rate_limit", True, wish, 429, "")
    assert max(wish, 0.25) <= backoff(attempt, asked, rng=rng) <= 1.25 * max(wish, 0.25)
    plain = Fault("server", True, None, 500, "")
    assert 0.25 <= backoff(attempt, plain, rng=rng) <= 8.0


def test_a_budget_ends() -> None:
    budget = RetryBudget(2)
    assert [budget.take() for _ in range(4)] == [True, True, False, False]
