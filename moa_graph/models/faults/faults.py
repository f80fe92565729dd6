"""Classify a failed request: what kind of fault it is, whether to retry, and when.

`call.py` owns all retries; every client below it has `max_retries=0`. This module decides for it. It reads exceptions
of the openai SDK, botocore, LangChain, httpx and aiohttp, and of chat models it has never seen, by what they carry
(status, codes, headers, words), so none of those libraries is imported.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import traceback
from dataclasses import dataclass

from moa_graph.models.faults.kinds import (
    BY_CODE,
    BY_NAME,
    BY_STATUS,
    BY_TYPE,
    BY_WORDS,
    CONTENT_CODES,
    CONTENT_WORDS,
    GENERATION_CODES,
    GENERIC_CODES,
    LARGE_WORDS,
    OVERFLOW_CODES,
    OVERFLOW_WORDS,
    PASSING_WORDS,
    QUOTA_CODES,
    QUOTA_WORDS,
    REQUEST_WORDS,
    RETRYABLE,
    THROTTLE_WORDS,
    UNKNOWN_OPTION,
    Kind,
)
from moa_graph.models.faults.reading import (
    body_of,
    broken_http,
    chain_of,
    codes_of,
    get,
    header,
    response_of,
    status_of,
    words_of,
)
from moa_graph.models.faults.retry_after import retry_after
from moa_graph.models.limits import ReplyTooLarge
from moa_graph.models.secrets.redaction import beginning, one_line

__all__ = [
    "NO_REPLY",
    "STREAM_CUT",
    "Fault",
    "Kind",
    "ProviderError",
    "classify",
    "judged",
    "of_handler",
    "own_cancellation",
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One failed request, classified.

    Attributes:
        kind: What went wrong.
        retryable: Whether another attempt may succeed.
        retry_after: Seconds that the provider asked to wait, without jitter, or None.
        status: The HTTP status that the provider sent, or None.
        reason: One redacted line in the provider's own words.
        unsent: Whether there was no connection, so that the provider cannot have billed the request.
    """

    kind: Kind
    retryable: bool
    retry_after: float | None
    status: int | None
    reason: str
    unsent: bool = False


STREAM_CUT = Fault("connection", True, None, None, "the stream ended before the answer did")
NO_REPLY = Fault("malformed", True, None, None, "the reply does not keep to the protocol (it has no choices)")

_NO_PATH = re.compile(
    r"(?i)(?:an HTML page instead of JSON: )?(?:404:? ?)?(?:file |page )?not found(?:, without a message|\W*)"
)
"""What servers say about a path that they do not have, and not about a model."""


def classify(exc: BaseException) -> Fault:
    """Classify what a chat model raised. Never raises, for any exception."""
    chain = list(chain_of(exc))
    status = next((s for s in map(status_of, chain) if s is not None), None)
    codes = {c for e in chain for c in codes_of(e)}
    words = _ends_of(words_of(chain))
    wait = next((w for w in map(retry_after, chain) if w is not None), None)
    kind = _kind(chain, status, codes, words, wait)
    if kind == "malformed":
        words = f"the reply does not keep to the protocol ({words})"
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in chain):
        words = f"{words}; SSL_CERT_FILE names the file of the certificates to trust"
    reason = f"{status} {words}" if status and not words.startswith(str(status)) else words
    if status == 404 and _NO_PATH.fullmatch(words):
        reason += " (no such path on this host: does base_url end with the version path, such as /v1?)"
    return Fault(kind, _retryable(chain, kind), wait, status, one_line(reason), unsent=any(map(_unconnected, chain)))


_SEARCHED = 2**13
"""Characters at each end of a long text that are searched for words: 64 kB take 100 ms."""


def _ends_of(words: str) -> str:
    """Return the beginning and the end of a long text. A server that quotes the request says why before or after it."""
    return words if len(words) <= 2 * _SEARCHED else f"{beginning(words, _SEARCHED)} … {words[-_SEARCHED:]}"


def _kind(chain: list[BaseException], status: int | None, codes: set[str], words: str, wait: float | None) -> Kind:
    """Return the kind. Codes take precedence over a status, a status over a type, and a type over words."""
    if any(isinstance(exc, ReplyTooLarge) for exc in chain):
        return "malformed"
    if any(map(broken_http, chain)):
        return "connection"
    if status in (403, 429) and THROTTLE_WORDS.search(words):
        return "rate_limit"
    if any(map(QUOTA_CODES.fullmatch, codes)):
        return "quota"
    if any(map(OVERFLOW_CODES.fullmatch, codes)):
        return "context_overflow"
    if any(map(CONTENT_CODES.fullmatch, codes)):
        return "content"
    if status in (400, 422, 500, None) and OVERFLOW_WORDS.search(words):
        return "context_overflow"
    if status == 429 and LARGE_WORDS.search(words):
        return "context_overflow"
    if status in (400, 403, 412, 429, None) and wait is None and QUOTA_WORDS.search(words):
        # Some providers say "quota" for a plain rate limit; those also say when to come back.
        return "quota"
    if status in (400, 403, 422) and CONTENT_WORDS.search(words):
        return "content"
    if any(map(GENERATION_CODES.fullmatch, codes)) or (status == 400 and PASSING_WORDS.search(words)):
        return "server"
    named = _kind_by_code(codes, generic=status is None)
    if named and (status is None or (status == 400 and named in RETRYABLE)):
        return named
    if status is not None:
        return BY_STATUS.get(status, "server" if status >= 500 else "bad_request")
    if isinstance(chain[0], TypeError) and UNKNOWN_OPTION.search(words):
        return "bad_request"
    kind = _kind_by_type(chain)
    return _kind_by_words(words) if kind == "unknown" and any(map(body_of, chain)) else kind


def _kind_by_code(codes: set[str], *, generic: bool) -> Kind | None:
    """Return the kind of the code that says most; None if no code has a meaning here."""
    known = codes & BY_CODE.keys()
    telling = sorted(known - GENERIC_CODES) or (sorted(known) if generic else [])
    return BY_CODE[telling[0]] if telling else None


def _kind_by_words(words: str) -> Kind:
    if REQUEST_WORDS.search(words):
        return "unknown"
    return next((kind for pattern, kind in BY_WORDS if pattern.search(words)), "unknown")


def _kind_by_type(chain: list[BaseException]) -> Kind:
    for exc in chain:
        for known, kind in BY_TYPE:
            if isinstance(exc, known):
                return kind
        names = [c.__name__ for c in type(exc).__mro__ if c is not OSError]
        for pattern, kind in BY_NAME:
            if any(pattern.search(name) for name in names):
                return kind
    if isinstance(chain[0], TypeError | LookupError | AttributeError | ValueError) and _from_client(chain[0]):
        return "malformed"  # a client that cannot read a reply: no choices, a text instead of an object
    return "connection" if isinstance(chain[0], OSError) else "unknown"


_NO_CONNECTION = frozenset({"ConnectionRefusedError", "gaierror", "ClientConnectorError", "ConnectError"})
"""Classes of the operating system, aiohttp and httpx that mean that nothing was sent."""


def _unconnected(exc: BaseException) -> bool:
    return any(kind.__name__ in _NO_CONNECTION for kind in type(exc).__mro__)


_CLIENTS = frozenset({"openai", "anthropic", "google", "mistralai", "groq", "ollama", "pydantic", "orjson"})
_OWN = (
    "moa_graph.models.openai_http",
    "moa_graph.models.http.json_bodies",
    "moa_graph.models.http.chunk_merging",
    "moa_graph.models.reply",
)


def _from_client(exc: BaseException) -> bool:
    """Return whether an exception was raised in a provider's client."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return name.partition(".")[0] in _CLIENTS or name.startswith(("langchain_", *_OWN))


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
        fault: The classified fault.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.reason)
        self.fault = fault

    @property
    def is_retryable(self) -> bool:
        return self.fault.retryable


def own_cancellation() -> bool:
    """Return whether this task was not cancelled, so that a `CancelledError` comes from what it called."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() == 0


def of_handler(exc: BaseException) -> bool:
    """Return whether a callback handler raised it. One with `raise_error=True` stops what it observes."""
    frames = (frame for frame, _ in traceback.walk_tb(exc.__traceback__))
    return any(
        frame.f_code.co_name in ("handle_event", "_ahandle_event_for_handler")
        and frame.f_globals.get("__name__") == "langchain_core.callbacks.manager"
        for frame in frames
    )


def judged(exc: BaseException) -> Fault:
    """Return the fault behind an exception of a redacting model, or of any other."""
    if isinstance(exc, ProviderError):
        return exc.fault
    if isinstance(exc, asyncio.CancelledError):
        return Fault("unknown", False, None, None, "the model's own call was cancelled inside it")
    return classify(exc)
