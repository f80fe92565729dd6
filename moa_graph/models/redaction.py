"""Redact texts: no keys, no URLs with credentials, no control characters, one short line.

Exception texts reach drafts, records, checkpoints, traces and terminals, and providers, proxies and HTTP
clients put keys into them. Every message about a fault goes through `one_line`.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable

__all__ = ["HIDDEN", "one_line", "remember_secret", "scrub", "well_formed"]

HIDDEN = "[hidden]"
"""Replaces a secret."""

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|DSN)(?:_|$)", re.IGNORECASE
)
_SHORTEST = 8
"""Shorter values are too likely to be ordinary words."""

_A_LETTER = re.compile("[A-Za-z]")
_A_DIGIT = re.compile("[0-9]")

# What they search comes from providers: none of them may take more than linear time in it, or nearly so.
_SHAPES: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    # Credentials in a URL, and in its query.
    (re.compile(r"(?<=://)[^/\s@]+(?=@)"), HIDDEN),
    (
        re.compile(
            r"([?&;][\w.-]{0,40}(?:key|token|secret|signature|sig|password|credential|code)[\w.-]{0,40}=)[^&\s\"'#]+",
            re.I,
        ),
        r"\1" + HIDDEN,
    ),
    # `Bearer x`, `Basic x`.
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=:*-]{6,}", re.I), r"\1 " + HIDDEN),
    # `api_key: x`, `"x-api-key": "x"`, `password=x`, `Authorization: x`.
    (
        re.compile(
            r"((?:(?:api[_-]?key|apikey|access[_-]?token|auth[_-]?token|secret|password|passwd)[\w-]{0,40}"
            r"|authorization)[\"']?\s*[:=]\s*[\"']?)(?!\[hidden\]|Bearer|Basic)[^\s\"',;}\])]{4,}",
            re.I,
        ),
        r"\1" + HIDDEN,
    ),
    # The shapes of well-known providers' keys; some providers quote a key half-masked with stars.
    (
        re.compile(
            r"\b(?:sk|pk|rk|gsk|xai|hf|ghp|gho|ghs|github_pat|glpat|pplx|tgp|lsv2|nvapi|fw|csk|r8|key|xox[abprs])"
            r"[-_][\w*-]{8,}"
        ),
        HIDDEN,
    ),
    (re.compile(r"\b(?:AIza[\w-]{20,}|A(?:KIA|SIA)[A-Z0-9]{12,})"), HIDDEN),
    (re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"), HIDDEN),
    # Long runs of letters and digits that no word is made of (Together's keys are 64 hex digits).
    (re.compile(r"[\w-]{40,}"), lambda run: HIDDEN if _A_LETTER.search(run[0]) and _A_DIGIT.search(run[0]) else run[0]),
]

_lock = threading.Lock()
_remembered: set[str] = set()


def remember_secret(value: str) -> None:
    """Redact `value` from now on: for keys that come from a file, not from the environment."""
    if len(value) >= _SHORTEST:
        with _lock:
            _remembered.add(value)


def _known() -> list[str]:
    """Return the secrets known to this process, the longest first."""
    with _lock:
        values = set(_remembered)
    values.update(v for name, v in os.environ.items() if len(v) >= _SHORTEST and _SECRET_NAME.search(name))
    return sorted(values, key=len, reverse=True)


def scrub(text: str) -> str:
    """Return `text` without secrets: those known to this process word for word, others by their shape."""
    for value in _known():
        text = text.replace(value, HIDDEN)
    for shape, instead in _SHAPES:
        text = shape.sub(instead, text)
    return text


def well_formed(text: str) -> str:
    """Return `text` with lone surrogates replaced, so that it can be encoded, stored and sent on."""
    try:
        text.encode()
    except UnicodeEncodeError:
        # A pair of surrogates is one character written in two halves; only halves without a mate are lost.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def one_line(text: str, *, limit: int = 300) -> str:
    """Return `text` redacted, on one line, at most `limit` characters long, printable.

    A little more than `limit` is scrubbed and then cut: a secret at the cut must not escape by being cut in
    half.
    """
    head = well_formed(text[: 20 * limit])
    line = " ".join("".join(c if c.isprintable() else " " for c in scrub(head)).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
