"""Read what an exception of a failed request says: its status, its codes and its words.

Exceptions are read by what they carry, so no SDK and no HTTP client is imported. Nothing here raises, whatever an
exception of a foreign class is made of.
"""

from __future__ import annotations

import ast
import http
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from moa_graph.models.faults.bodies import codes_in, error_in, message_in, page_title, parsed
from moa_graph.models.secrets.redaction import beginning

__all__ = [
    "body_of",
    "broken_http",
    "chain_of",
    "codes_of",
    "get",
    "header",
    "response_of",
    "status_of",
    "text_of",
    "words_of",
]


def chain_of(exc: BaseException) -> Iterator[BaseException]:
    """Yield the exception and what it was raised from, outermost first; groups are looked into; loops end."""
    seen: set[int] = set()
    current: BaseException | None = exc
    while current is not None and id(current) not in seen and len(seen) < 8:
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup) and current.exceptions:
            current = current.exceptions[0]
        else:
            current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def get(thing: object, name: str) -> Any:
    """Return an attribute, or None: a foreign exception's property may itself raise."""
    try:
        return getattr(thing, name, None)
    except Exception:  # any property of any class; its failure is not the fault we report
        return None


def response_of(exc: BaseException) -> Any:
    """Return the response that an exception carries, an HTTP client's object or botocore's dict, or None."""
    found = (get(exc, name) for name in ("response", "raw_response", "http_response"))
    return next((response for response in found if response is not None), None)


def _aws(response: object, name: str) -> Any:
    metadata = response.get("ResponseMetadata") if isinstance(response, Mapping) else None
    return metadata.get(name) if isinstance(metadata, Mapping) else None


def header(response: Any, name: str) -> str | None:
    """Return a header's value, or None."""
    headers = get(response, "headers") or _aws(response, "HTTPHeaders")
    if not isinstance(headers, Mapping):
        return None
    found = (headers.get(each) for each in (name, name.title()))
    return next((value for value in found if isinstance(value, str)), None)


def broken_http(exc: BaseException) -> bool:
    """Return whether an HTTP client reports a reply that is not HTTP. aiohttp does so with a status of its own."""
    module = type(exc).__module__
    if module == "aiohttp.http_exceptions":
        return True
    return module.startswith("aiohttp.") and type(exc.__cause__).__module__ == "aiohttp.http_exceptions"


def status_of(exc: BaseException) -> int | None:
    """Return the HTTP status that a server sent, or None."""
    if broken_http(exc):
        return None
    response = response_of(exc)
    for value in (
        get(exc, "status_code"),
        get(response, "status_code"),
        _aws(response, "HTTPStatusCode"),
        get(exc, "status"),
        get(exc, "http_status"),
        get(response, "status"),
        get(exc, "code"),
        *codes_in(error_in(body_of(exc))),
    ):
        number = int(value) if isinstance(value, str) and re.fullmatch(r"[45]\d\d", value) else value
        if isinstance(number, int) and not isinstance(number, bool) and 300 <= number <= 599:
            return int(number)
    return None


def body_of(exc: BaseException) -> Any:
    """Return the error body, wherever the client put it."""
    response = response_of(exc)
    args = get(exc, "args")
    mappings = [arg for arg in args if isinstance(arg, Mapping)] if isinstance(args, tuple) else []
    aws = response if isinstance(response, Mapping) else None
    given, text = get(exc, "body"), get(response, "text")
    # The SDK keeps the field `error` only. Where that is a text, the words may stand in another field.
    first = text if isinstance(given, str) and text else given
    for body in (first, *mappings, aws, get(exc, "details"), text, _in_text(exc)):
        if isinstance(body, Mapping | list | str | bytes) and body:
            return parsed(body)
    return None


_RESPONSES_ERROR: Final = re.compile(
    r"ResponseError\(code='(\w++)', message=('(?:[^'\\]|\\.)*+'|\"(?:[^\"\\]|\\.)*+\")|((?=\w[^\W_]*+_\w)\w++): ",
    re.DOTALL,
)


def _in_text(exc: BaseException) -> Mapping[str, Any] | None:
    """Return the error of a stream of OpenAI's Responses API, of which LangChain raises the text alone."""
    args = get(exc, "args")
    text = args[0] if type(exc) is ValueError and len(args) == 1 and isinstance(args[0], str) else ""
    found = _RESPONSES_ERROR.match(text)
    if not found:
        return None
    return {"code": found[1] or found[3], "message": ast.literal_eval(found[2]) if found[2] else text}


def codes_of(exc: BaseException) -> Iterator[str]:
    """Yield the codes of an exception and of its body, in lower case."""
    for value in (get(exc, "code"), get(exc, "type")):
        if isinstance(value, str):
            yield value.lower()
    yield from codes_in(error_in(body_of(exc)))


_CUT = ("ClientPayloadError", "TransferEncodingError", "ContentLengthError")
"""Names of aiohttp's exceptions for a body that is shorter than its headers say."""


def words_of(chain: list[BaseException]) -> str:
    """Return the provider's own message if there is one, else the exception's, with what lies at its root."""
    if broken := next((exc for exc in chain if broken_http(exc)), None):
        if type(broken).__name__ in _CUT:
            return "the connection ended in the middle of the reply"
        said = get(broken, "message")
        return f"the reply is not valid HTTP{f': {said}' if isinstance(said, str) and said else ''}"
    for exc in chain:
        if message := message_in(body_of(exc)).strip():
            return message
    for exc in chain:
        error = error_in(body_of(exc))
        if status_of(exc) is not None and any(value not in (None, "", [], {}) for value in error.values()):
            return beginning(json.dumps(error, ensure_ascii=False, default=str), 1000)  # words in fields of any name
    outer, root = text_of(chain[0]), text_of(chain[-1])
    same = type(chain[0]).__name__ == type(chain[-1]).__name__ and isinstance(chain[0], ValueError)
    if get(chain[0], "body") is None and not same and root not in outer:
        return f"{outer.rstrip('.')}: {root}"  # "Connection error" alone says nothing
    # The SDK's own text; some versions repeat the body in it, which was found to say nothing.
    bare = re.fullmatch(r"Error code: (\d{3})( - .*)?", outer, re.S)
    if bare and (not bare[2] or body_of(chain[0]) is not None):
        return _phrase(int(bare[1]))
    return outer


def _phrase(status: int) -> str:
    try:
        return f"{status} {http.HTTPStatus(status).phrase}, without a message"
    except ValueError:
        return f"{status}, without a message"


_DETAILS = re.compile(r"\[Errno -?\d+\] | ssl:(?:<ssl\.SSLContext[^<>]{0,80}>|default|True|False)(?= \[)")
"""The number of an error, and how aiohttp describes the encryption of a host that it cannot reach."""
_CALL_FAILED = re.compile(r"Connect call failed \('([^']*)', (\d+)[^)]*\)")
"""How asyncio says that nothing answered at an address."""


def text_of(exc: BaseException) -> str:
    """Return an exception's text, with its class where the text alone says nothing."""
    try:
        text = _CALL_FAILED.sub(r"no connection to \1 port \2", _DETAILS.sub("", str(exc).strip()))
    except Exception:  # a foreign __str__ may raise anything
        text = ""
    if page := page_title(text):
        return page
    name = type(exc).__name__
    if isinstance(exc, KeyError | TypeError | IndexError | AttributeError | json.JSONDecodeError) or not text:
        return f"{name}: {text}" if text else name
    return text
