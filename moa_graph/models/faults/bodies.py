"""Read the body of an error: a mapping, a list, JSON in a text, plain text or HTML.

Nothing here raises, whatever a body is made of.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from moa_graph.models.limits import MAX_ERROR_BYTES

__all__ = ["codes_in", "error_in", "message_in", "page_title", "parsed"]

_DEEPEST: Final = 6
"""How deeply an error body is searched."""

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
        return page_title(body) or body
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


def page_title(text: str) -> str:
    """Return what an HTML page says in its title; empty when `text` is not HTML."""
    if not re.match(r"(?i)\s{0,99}(?:<!--.{0,300}?-->\s{0,99})?<(?:!doctype\s{1,9}html|html|head|body|title)\b", text):
        return ""
    head = text[:10_000]
    title = re.search(r"(?is)<title[^>]{0,99}>(.{0,300}?)</title>", head) or re.search(
        r"(?is)<h1[^>]{0,99}>(.{0,300}?)</h1>", head
    )
    said = html.unescape(title[1]).strip() if title else ""
    return "an HTML page instead of JSON" + (f": {said}" if said else "")


def codes_in(error: Mapping[str, Any]) -> Iterator[str]:
    """Yield the codes of an error object, in lower case."""
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
