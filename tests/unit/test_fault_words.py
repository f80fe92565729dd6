"""The provider's error message and its classification, in every shape of an error body."""

from __future__ import annotations

import re
import socket
from typing import Any

import aiohttp
import httpx2
import openai
import pytest
from aiohttp.http_exceptions import BadStatusLine, TransferEncodingError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moa_graph.models.faults.bodies import message_in
from moa_graph.models.faults.faults import classify
from moa_graph.models.faults.retry_after import retry_after
from moa_graph.models.openai_http.stream import no_choices
from moa_graph.models.secrets.redaction import HIDDEN, one_line

BODIES: list[tuple[Any, str]] = [
    ({"error": {"message": "no such model"}}, "no such model"),
    ({"error": "roles must alternate", "error_type": "validation"}, "roles must alternate"),
    ({"object": "error", "message": "too long", "type": "BadRequestError", "code": 400}, "too long"),
    ({"detail": "Not Found"}, "Not Found"),
    ({"detail": [{"loc": ["body", "messages", 0], "msg": "field required"}]}, "body.messages.0: field required"),
    ({"errors": [{"message": "one"}, {"message": "two"}]}, "one; two"),
    ([{"error": {"code": 400, "message": "API key not valid"}}], "API key not valid"),
    ({"error": "invalid_grant", "error_description": "token expired"}, "token expired"),
    ({"Message": "Input is too long"}, "Input is too long"),
    ({"fault": {"faultstring": "quota"}}, "quota"),
    ({"base_resp": {"status_code": 1004, "status_msg": "login fail"}}, "login fail"),
    ({"title": "Bad", "detail": "really"}, "really"),
    ('{"error": {"message": "text that is JSON"}}', "text that is JSON"),
    ({"error": {"message": '{"error": {"message": "nested text"}}'}}, "nested text"),
    (
        {"error": {"message": "Provider returned error", "metadata": {"raw": '{"error": {"message": "too hot"}}'}}},
        "Provider returned error: too hot",
    ),
    (b"upstream connect error", "upstream connect error"),
    ("<html><head><title>502 Bad Gateway</title></head></html>", "an HTML page instead of JSON: 502 Bad Gateway"),
    ("<!DOCTYPE html><h1>Oops</h1>", "an HTML page instead of JSON: Oops"),
    ("<html><title>Rock &amp; Roll</title>", "an HTML page instead of JSON: Rock & Roll"),
    ({"data": {"error": "the reason"}}, "the reason"),
    ({"response": {"status": "failed", "error": {"message": "the reason"}}}, "the reason"),
    ({"error": {"code": "InternalError", "innererror": {"message": "the reason"}}}, "the reason"),
    ('data: {"error": {"message": "the reason"}}\n\ndata: [DONE]\n\n', "the reason"),
    ('id:1\nevent:error\n:HTTP_STATUS/400\ndata:{"code":"Invalid","message":"the reason"}\n\n', "the reason"),
    ('event: error\r\ndata: {"message": "the reason"}\r\n\r\n', "the reason"),
    ("data: it is not known what", "data: it is not known what"),
    ({}, ""),
    ({"error": None}, ""),
    (None, ""),
    (5, ""),
]


@pytest.mark.parametrize(("body", "words"), BODIES, ids=range(len(BODIES)))
def test_the_words_are_found_in_any_body(body: Any, words: str) -> None:
    assert message_in(body) == words


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["error", "message", "detail", "loc", "msg", "metadata", "raw"]), inner),
    max_leaves=8,
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(JSON)
def test_any_body_is_classified(body: Any) -> None:
    class Failed(Exception):
        def __init__(self) -> None:
            self.body, self.status_code = body, 400

    fault = classify(Failed())
    assert fault.status == 400 and fault.reason


def refused(status: int, body: Any, **headers: str) -> Exception:
    """As the SDK raises it."""
    content: dict[str, Any] = {"text": body} if isinstance(body, str) else {"json": body}
    response = httpx2.Response(status, headers=headers, **content)
    sdk = openai.OpenAI(
        api_key="k",
        base_url="http://x",
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(lambda request: response)),
    )
    with pytest.raises(openai.APIStatusError) as caught:
        sdk.models.list()
    return caught.value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"errmsg": "no credits"}, '400 {"errmsg": "no credits"}'),
        ({"error": {"message": "", "param": "n"}}, '400 {"message": "", "param": "n"}'),
        ({"model": ["is unknown"]}, '400 {"model": ["is unknown"]}'),
        ({"status": 500, "error": "Internal Server Error", "message": "disk full"}, "400 disk full"),
        ({"error": "invalid_grant", "error_description": "token expired"}, "400 token expired"),
        ({"error": {}}, "400 Bad Request, without a message"),
        ({"error": {"message": None}}, "400 Bad Request, without a message"),
    ],
)
def test_words_in_fields_of_any_name_are_told(body: Any, reason: str) -> None:
    assert classify(refused(400, body)).reason == reason


@pytest.mark.parametrize(
    "body",
    [
        {"detail": "Not Found"},
        {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}},
        "404 page not found",
        "<html><title>404 Not Found</title></html>",
        "",
    ],
)
def test_a_path_that_the_server_does_not_have_names_the_way_out(body: Any) -> None:
    assert "does base_url end with the version path, such as /v1?" in classify(refused(404, body)).reason
    assert "base_url" not in classify(refused(400, body)).reason


@pytest.mark.parametrize("words", ["The model `x` does not exist.", "model 'x' not found", "Model not found"])
def test_a_model_that_the_server_does_not_have_is_told_in_its_words(words: str) -> None:
    assert classify(refused(404, {"error": {"message": words}})).reason == f"404 {words}"


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (422, "Input validation error: inputs must have less than 4095 tokens", "context_overflow"),
        (400, "too many tokens: total number of tokens in the prompt cannot exceed 4081", "context_overflow"),
        (400, "Your request exceeded model token limit: 8192", "context_overflow"),
        (500, "Context size has been exceeded.", "context_overflow"),
        (403, "Your team has run out of credits", "quota"),
        (429, "You've reached your monthly spending limit", "quota"),
        (400, "Your prompt was flagged as potentially violating our usage policy.", "content"),
        (403, "Your input was flagged", "content"),
        (500, "Your input was flagged", "server"),
        (400, "max_tokens must be less than or equal to 4096", "bad_request"),
        (400, "This model's maximum prompt length is 131072 but the request has 537812 tokens.", "context_overflow"),
        (400, "invalid params, context window exceeds limit (2013)", "context_overflow"),
        (400, "The tokens to keep from the prompt is greater than the context length.", "context_overflow"),
        (400, "The decoder prompt (length 9) is longer than the maximum model length of 8.", "context_overflow"),
        (422, "`inputs` must have less than 4095 tokens. Given: 5000", "context_overflow"),
        (400, "Prompt tokens too long", "context_overflow"),
        (400, "needs a length of 19096, but the maximum supported sequence length is 16384!", "context_overflow"),
        (400, "Total tokens of image and text exceed max message tokens", "context_overflow"),
        (400, "the number of input tokens 9000 cannot exceed the total tokens limit 8192", "context_overflow"),
        (400, "max tokens of 16384 exceeded", "context_overflow"),
        (422, "Invalid params: tokens limit exceeded", "context_overflow"),
        (422, "prompt length exceeds maximum: 300000 > 262144", "context_overflow"),
        (400, "Prompt 超长", "context_overflow"),
        (400, "Requested max_tokens exceeds the model output limit", "bad_request"),
        (400, "schema is too long", "bad_request"),
        (429, "余额不足或无可用资源包,请充值。", "quota"),
        (429, "您的账户已欠费，请充值后重试。", "quota"),
        (403, "用户额度不足", "quota"),
        (429, "该模型当前访问量过大，请您稍后再试", "rate_limit"),
        (429, "您的账户已达到速率限制，请您控制请求频率", "rate_limit"),
        (429, "You have exceeded your monthly included credits", "quota"),
        (429, "you have used up your daily free allocation of 10,000 neurons", "quota"),
        (429, "ExceededBudget: User=x over budget. Spend=10, Budget=10", "quota"),
        (400, "Prompt length (17) exceeds maximum input length (10).", "context_overflow"),
        (400, "Prompt exceeds max length", "context_overflow"),
        (400, "max_tokens must be at least 1, got -343.", "context_overflow"),
        (400, "max_completion_tokens must be at least 1, got 0.", "bad_request"),
        (400, "The prompt (total length 9) is too long to fit into the model (context length 8).", "context_overflow"),
        (400, "the input token count is 9 but model only supports up to 8.", "context_overflow"),
        (
            400,
            "The sum of prompt length (9.0), query length (0) should not exceed max_num_tokens (8)",
            "context_overflow",
        ),
        (400, "Input token length exceeds the limit of 32000", "context_overflow"),
        (400, "The total number of tokens exceeds the model's maximum allowed", "context_overflow"),
        (400, "Cannot truncate prompt with n_keep (4501) >= n_ctx (4096)", "context_overflow"),
        (400, "litellm.ContextWindowExceededError: litellm.BadRequestError: x", "context_overflow"),
        (429, "Request too large for gpt-4o on tokens per min (TPM): Limit 3, Requested 4.", "context_overflow"),
        (429, "The input or output tokens must be reduced in order to run successfully.", "context_overflow"),
        (429, "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 3, Used 2, Requested 2.", "rate_limit"),
        (400, "Model is unloaded.", "server"),
        (400, "Model unloaded.", "server"),
        (400, "The model has crashed without additional information. (Exit code: 6)", "server"),
        (400, 'Failed to load model "qwen". Error: Operation canceled.', "server"),
        (400, "Channel Error", "server"),
        (400, "Function id 'x': DEGRADED function cannot be invoked", "server"),
        (400, "No models loaded. Please load a model in the developer page.", "bad_request"),
        (404, "Model unloaded.", "not_found"),
        (403, "Key limit exceeded (daily limit).", "quota"),
        (403, "Budget limit exceeded (monthly limit). Contact your org admin.", "quota"),
        (400, "Budget has been exceeded! Current cost: 26.075, Max budget: 0.25", "quota"),
        (429, "Exceeded budget for deployment model_name: x", "quota"),
        (400, "You have reached your specified API usage limits.", "quota"),
        (429, "you have reached your session usage limit, upgrade for higher limits", "quota"),
        (429, "The usage limit has been reached", "quota"),
        (412, "Account x is suspended, possibly due to reaching the monthly spending limit", "quota"),
        (403, "Sorry, your account balance is insufficient", "quota"),
        (403, "The request failed because your account has an overdue balance.", "quota"),
        (403, "Your newly created team doesn't have any credits or licenses yet.", "quota"),
        (403, "预扣费额度失败, 用户剩余额度: 0.1", "quota"),
        (403, "TPM limit reached.", "rate_limit"),
        (403, "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO", "content"),
        (400, "System detected potentially unsafe or sensitive content in input or generation.", "content"),
        (400, "The request failed because the input text may contain sensitive information.", "content"),
        (400, "input new_sensitive (1026)", "content"),
        (400, "litellm.ContentPolicyViolationError: x", "content"),
    ],
)
def test_what_follows_from_the_words(status: int, words: str, kind: str) -> None:
    assert classify(refused(status, {"error": {"message": words}})).kind == kind


@pytest.mark.parametrize(
    "text", ["it has no choices: {}", "server error: x", "x", "", "ResponseError(code='x', message='y"]
)
def test_the_text_of_another_error_stays(text: str) -> None:
    assert text in classify(ValueError(text)).reason


@pytest.mark.parametrize("secret", ["0f" * 32, "correct horse battery staple", "sk-abcdefghijkl"])
def test_a_secret_where_a_long_error_is_cut_is_not_shown_in_part(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text before it becomes shorter when it is redacted, so that the cut is what is shown."""
    if not secret.startswith("sk"):  # the others are known
        monkeypatch.setenv("SOME_PROVIDER_API_KEY", secret)
    for shift in range(1, len(secret) + 5, 3):
        body, long = {"x" * shift: [secret] * 60}, RuntimeError("x" * shift + f" {secret}" * 1_000)
        for line in (one_line(no_choices(body)), classify(stream_error({"error": body})).reason, classify(long).reason):
            assert "[hidden]" in line and not re.search("0f|corr|horse|sk-", line)


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_the_login_of_a_proxy_is_not_shown(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's client quotes the address of a proxy that it cannot use. Without its scheme, nothing says that it is
    one."""
    monkeypatch.setenv("https_proxy", f"{scheme}ann:planted@word@10.0.0.1:9")
    for text in ("ann:planted@word@10.0.0.1:9", "proxy login ann:planted@word failed", "password planted@word"):
        reason = classify(ValueError(text)).reason
        assert "planted" not in reason and HIDDEN in reason


def test_a_redirect_is_a_status_that_is_not_retried() -> None:
    fault = classify(refused(308, {"error": {"message": "moved"}}))
    assert (fault.status, fault.retryable, fault.reason) == (308, False, "308 moved")


def stream_error(body: Any) -> openai.APIError:
    return openai.APIError("An error occurred during streaming", httpx2.Request("POST", "http://x"), body=body)


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        ({"message": "engine queue is full", "code": 429}, "rate_limit", "429 engine queue is full"),
        ({"message": "exceeds the available context size", "code": "400"}, "context_overflow", "400 exceeds"),
        ({"message": "Overloaded", "type": "overloaded_error"}, "server", "Overloaded"),
        ("went away", "unknown", "went away"),
        ({"message": "no", "type": "invalid_request_error", "code": "rate_limit_exceeded"}, "rate_limit", "no"),
        ({"message": "cut", "type": "invalid_request_error", "code": "request_timeout"}, "timeout", "cut"),
        ({"message": "no", "type": "service_unavailable_error", "code": "server_is_overloaded"}, "server", "no"),
        ({"message": "no", "type": "invalid_request_error", "code": "x"}, "bad_request", "no"),
        ({"message": "rate limit exceeded(RPM)"}, "rate_limit", "rate limit"),
        ({"message": "Request timed out"}, "timeout", "Request"),
        ({"message": "Internal Server Error"}, "server", "Internal"),
        ("overloaded", "server", "overloaded"),
        ({"base_resp": {"status_code": 1000, "status_msg": "unknown error"}}, "server", "unknown error"),
        ({"message": "Internal server error: unsupported parameter"}, "unknown", "Internal"),
    ],
)
def test_an_error_in_a_stream_has_its_words_and_its_kind(body: Any, kind: str, reason: str) -> None:
    fault = classify(stream_error(body))
    assert fault.kind == kind and fault.reason.startswith(reason)


def aws(code: str, status: int, headers: dict[str, str] | None = None) -> Exception:
    """As botocore raises it: the response is a dict."""

    class ClientError(Exception):
        response = {  # noqa: RUF012
            "Error": {"Code": code, "Message": f"{code} says no"},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers or {}},
        }

    return ClientError("An error occurred")


@pytest.mark.parametrize(
    ("code", "status", "kind", "retryable"),
    [
        ("ThrottlingException", 429, "rate_limit", True),
        ("InternalServerException", 500, "server", True),
        ("ServiceUnavailableException", 503, "server", True),
        ("ModelTimeoutException", 408, "timeout", True),
        ("AccessDeniedException", 403, "auth", False),
        ("ValidationException", 400, "bad_request", False),
        ("ModelStreamErrorException", 0, "server", True),
    ],
)
def test_bedrocks_faults_are_recognised(code: str, status: int, kind: str, retryable: bool) -> None:
    fault = classify(aws(code, status))
    assert (fault.kind, fault.retryable) == (kind, retryable) and f"{code} says no" in fault.reason
    assert retry_after(aws(code, status, {"retry-after": "3"})) == 3.0


def test_broken_http_is_not_a_status_that_a_server_sent() -> None:
    url = "http://x"
    info = aiohttp.RequestInfo(url, "POST", {}, url)  # type: ignore[arg-type]
    try:
        try:
            raise BadStatusLine("junk")
        except BadStatusLine as inner:
            raise aiohttp.ClientResponseError(info, (), status=400, message=inner.message) from inner
    except aiohttp.ClientResponseError as exc:
        fault = classify(exc)
    assert (fault.kind, fault.status, fault.retryable, fault.unsent) == ("connection", None, True, False)
    assert fault.reason.startswith("the reply is not valid HTTP: Bad status line")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 9)"), "no connection to 127.0.0.1 port 9"),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 9, 0, 0), "
                    "[Errno 111] Connect call failed ('127.0.0.1', 9)"),
            "Multiple exceptions: no connection to ::1 port 9, no connection to 127.0.0.1 port 9",
        ),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (
            OSError("Cannot connect to host api.example:443 ssl:<ssl.SSLContext object at 0x7f> [[Errno -2] Unknown]"),
            "Cannot connect to host api.example:443 [Unknown]",
        ),
        (OSError("Cannot connect to host a:1 ssl:default [Unknown]"), "Cannot connect to host a:1 [Unknown]"),
    ],
)  # fmt: skip
def test_a_connection_that_fails_is_said_without_error_numbers(error: OSError, words: str) -> None:
    assert classify(error).reason == words


def test_a_reply_that_was_cut_short_is_said_without_names_of_exceptions() -> None:
    try:
        raise aiohttp.ClientPayloadError("Response payload is not completed") from TransferEncodingError(
            "Not enough data to satisfy transfer length header."
        )
    except aiohttp.ClientPayloadError as exc:
        fault = classify(exc)
    assert (fault.kind, fault.reason) == ("connection", "the connection ended in the middle of the reply")


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("Please try again in 6m0s.", 360.0), ("Please retry in 27.5s.", 27.5), ("try again in 1h2m", 3720.0),
     ("Please wait 20 seconds before", 20.0), ("try again", None), ("retry after a while", None)],
)  # fmt: skip
def test_spans_of_time_in_words(words: str, seconds: float | None) -> None:
    assert retry_after(stream_error({"message": words})) == seconds


def test_a_wait_in_the_body_is_read() -> None:
    assert retry_after(stream_error({"message": "no", "retry_after": 2.5})) == 2.5
    assert retry_after(stream_error({"message": "no", "retry_after": -2})) == 0.0
