"""Read what a failed request says: its status, its codes and its words.

Exceptions are read by what they carry, so no SDK and no HTTP client is imported. Nothing here raises, whatever an
exception of a foreign class is made of.
"""

from __future__ import annotations

import ast
import html
import http
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from moa_graph.models.limits import MAX_ERROR_BYTES
from moa_graph.models.secrets.redaction import beginning

__all__ = [
    "body_of",
    "broken_http",
    "chain_of",
    "codes_of",
    "error_in",
    "get",
    "header",
    "message_in",
    "parsed",
    "response_of",
    "status_of",
    "text_of",
    "words_of",
]

_DEEPEST: Final = 6
"""How deeply an error body is searched."""


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


# The response: an HTTP client's object, or botocore's dict.


def response_of(exc: BaseException) -> Any:
    """Return the response that an exception carries, or None."""
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
        *_codes_in(error_in(body_of(exc))),
    ):
        number = int(value) if isinstance(value, str) and re.fullmatch(r"[45]\d\d", value) else value
        if isinstance(number, int) and not isinstance(number, bool) and 300 <= number <= 599:
            return int(number)
    return None


# The body: a mapping, a list, JSON in a text, plain text, HTML.


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


_OF_EVENTS: Final = ("data:", "event:", "id:", ":")
_EVENT_DATA: Final = re.compile(r"^data:[ \t]*([{\[].*)", re.MULTILINE)
"""A server may report an error as an event of the stream that was asked for, under an error's status."""


def parsed(body: Any) -> Any:
    """Return the JSON in a body; the body itself where it is something else."""
    if isinstance(body, bytes):
        body = body[:MAX_ERROR_BYTES].decode("utf-8", "replace")
    if isinstance(body, str):
        body = body[:MAX_ERROR_BYTES].strip().removeprefix("\ufeff")
        if body.startswith(_OF_EVENTS) and (data := _EVENT_DATA.search(body)):
            body = data[1]
        if body[:1] in ("{", "["):
            try:
                return json.loads(body, strict=False)
            except (ValueError, RecursionError):
                return body
    return body


def error_in(body: Any) -> Mapping[str, Any]:
    """Return the innermost error object of a body; empty when it has none."""
    for _ in range(_DEEPEST):
        body = parsed(body)
        if isinstance(body, list):
            body = next((each for each in body if isinstance(each, Mapping)), None)
        if not isinstance(body, Mapping):
            break
        inner = next((body[name] for name in ("error", "Error", "detail", "errors") if body.get(name)), None)
        if not isinstance(parsed(inner), Mapping | list):
            return body
        body = inner
    return body if isinstance(body, Mapping) else {}


_WORDS: Final = (
    "message", "error_message", "errormessage", "error_msg", "msg", "status_msg", "error_description", "detail",
    "errors", "error", "exception", "description", "title", "reason", "faultstring", "fault", "base_resp", "details",
    "cause", "body", "text",
)  # fmt: skip
"""Where providers, gateways and frameworks put their words, the most telling first; case does not matter."""


def message_in(body: object, *, deepest: int = _DEEPEST, around: bool = True) -> str:
    """Return the words for people in an error body of any shape; empty without such words.

    Args:
        body: The body.
        deepest: Levels of nesting that are searched.
        around: Whether objects of any name are searched where no field has words.
    """
    body = parsed(body)
    if isinstance(body, str):
        return _title_of(body) or body
    if deepest <= 0:
        return ""
    if isinstance(body, list):
        several = [found for each in body[:20] if (found := message_in(each, deepest=deepest - 1))]
        return "; ".join(dict.fromkeys(several[:3]))
    if not isinstance(body, Mapping):
        return ""
    named = {key.lower(): value for key, value in body.items() if isinstance(key, str)}
    words = next((found for name in _WORDS if (found := message_in(named.get(name), deepest=deepest - 1))), "")
    if not words and deepest < _DEEPEST:  # an object of fields, each with a list of what is wrong with it
        lists = [(name, value) for name, value in named.items() if isinstance(value, list)][:20]
        several = [f"{name[:40]}: {found}" for name, value in lists if (found := message_in(value, deepest=1))]
        words = "; ".join(several[:3])
    if not words and around:
        objects = [value for name, value in named.items() if isinstance(value, Mapping) and name not in _WORDS][:8]
        words = next((found for value in objects if (found := message_in(value, deepest=deepest - 2))), "")
    place = named.get("loc")
    if words and isinstance(place, list | tuple):  # FastAPI's validation errors
        words = f"{'.'.join(str(part)[:40] for part in place[:6])}: {words}"
    more = named.get("metadata")
    raw = message_in(more.get("raw"), deepest=deepest - 1) if isinstance(more, Mapping) else ""
    return f"{words}: {raw}" if raw and raw not in words else words


def _title_of(text: str) -> str:
    """Return what an HTML page says in its title; empty when `text` is not HTML."""
    if not re.match(r"(?i)\s{0,99}(?:<!--.{0,300}?-->\s{0,99})?<(?:!doctype\s{1,9}html|html|head|body|title)\b", text):
        return ""
    head = text[:10_000]
    title = re.search(r"(?is)<title[^>]{0,99}>(.{0,300}?)</title>", head) or re.search(
        r"(?is)<h1[^>]{0,99}>(.{0,300}?)</h1>", head
    )
    said = html.unescape(title[1]).strip() if title else ""
    return "an HTML page instead of JSON" + (f": {said}" if said else "")


def _codes_in(error: Mapping[str, Any]) -> Iterator[str]:
    inner = error.get("innererror")
    details = error.get("details")
    reasons = [each.get("reason") for each in details if isinstance(each, Mapping)] if isinstance(details, list) else []
    named = [
        error.get(name) for name in ("code", "type", "status", "error_type", "error_code", "Code", "error", "name")
    ]
    for value in (*named, inner.get("code") if isinstance(inner, Mapping) else None, *reasons):
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**6:
            yield str(value)
        elif isinstance(value, str) and 0 < len(value) <= 100:
            yield value.lower()


def codes_of(exc: BaseException) -> Iterator[str]:
    """Yield the codes of an exception and of its body, in lower case."""
    for value in (get(exc, "code"), get(exc, "type")):
        if isinstance(value, str):
            yield value.lower()
    yield from _codes_in(error_in(body_of(exc)))


# Words.


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


_ERRNO = re.compile(r"\[Errno -?\d+\] ")
_CALL_FAILED = re.compile(r"Connect call failed \('([^']*)', (\d+)[^)]*\)")
"""How asyncio says that nothing answered at an address."""


def text_of(exc: BaseException) -> str:
    """Return an exception's text, with its class where the text alone says nothing."""
    try:
        text = _CALL_FAILED.sub(r"no connection to \1 port \2", _ERRNO.sub("", str(exc).strip()))
    except Exception:  # a foreign __str__ may raise anything
        text = ""
    if page := _title_of(text):
        return page
    name = type(exc).__name__
    if isinstance(exc, KeyError | TypeError | IndexError | AttributeError | json.JSONDecodeError) or not text:
        return f"{name}: {text}" if text else name
    return text
