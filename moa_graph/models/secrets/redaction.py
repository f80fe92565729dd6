"""Redact keys and credentials in texts of exceptions and providers, and cut them to one printable line.

Exception texts reach drafts, records, checkpoints, traces and terminals, and providers, proxies and HTTP clients put
keys into them. Every message about a fault goes through `one_line`.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import quote, quote_plus

from moa_graph.models.terminal_text import for_terminal

__all__ = ["HIDDEN", "beginning", "one_line", "remember_secret", "well_formed"]

HIDDEN = "[hidden]"
"""What replaces a secret."""

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|DSN)(?:_|$)", re.IGNORECASE
)
_SHORTEST = 8
"""Minimum length in characters. Shorter values are too likely to be ordinary words."""

_BLANKS = re.compile("[ \t-\r\x1c-\x1f\x85\u2028\u2029]+")
"""Spaces, tabs and line ends. No-break and ideographic spaces are characters of the text."""

_A_LETTER = re.compile("[A-Za-z]")
_A_DIGIT = re.compile("[0-9]")

# Providers choose the text that these patterns search, so each must run in close to linear time.
_SHAPES: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    # Credentials in a URL, of which a password may hold `@`, and in its query.
    (re.compile(r"(?<=://)[^/?#\s]+(?=@)"), HIDDEN),
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
            r"|authorization)[\"']?\s*[:=]\s*[\"']?)(?!\[hidden\]|Bearer|Basic)(?:(?:token|key|api-?key)\s+)?"
            r"[^\s\"',;}\])]{4,}",
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
    # Long runs of letters and digits that are not words (Together's keys are 64 hex digits).
    (re.compile(r"[\w-]{40,}"), lambda run: HIDDEN if _A_LETTER.search(run[0]) and _A_DIGIT.search(run[0]) else run[0]),
]

_lock = threading.Lock()
_remembered: set[str] = set()


def remember_secret(value: str) -> None:
    """Redact `value` from now on. For keys that come from a file and not from the environment."""
    if len(value) >= _SHORTEST:
        with _lock:
            _remembered.add(value)


def _known() -> list[str]:
    """Return every secret known to this process, the longest first."""
    with _lock:
        values = set(_remembered)
    values.update(v for name, v in os.environ.items() if len(v) >= _SHORTEST and _SECRET_NAME.search(name))
    # A proxy's address may lack its scheme, by which the login in an address is recognized.
    proxies = (v for name, v in os.environ.items() if "@" in v and name.upper().endswith("_PROXY"))
    logins = (v.rpartition("@")[0].rpartition("//")[2] for v in proxies)
    values.update(part for login in logins for part in (login, login.partition(":")[2]) if len(part) >= _SHORTEST)
    return sorted({form for value in values for form in _forms(value)}, key=len, reverse=True)


@lru_cache(maxsize=256)
def _forms(value: str) -> frozenset[str]:
    """Return the forms in which servers and proxies repeat a secret: as it is, in a URL, in JSON, in a header."""
    data = value.encode("utf-8", "surrogatepass")
    encoded = [base64.b64encode(data), base64.urlsafe_b64encode(data)]
    quoted = [quote(data, safe=""), quote(data), quote_plus(data), json.dumps(value)[1:-1], value.replace("/", "\\/")]
    return frozenset([value, *quoted, *(each.decode().rstrip("=") for each in encoded)])


def _without_known(text: str) -> str:
    for value in _known():
        text = text.replace(value, HIDDEN)
    return text


def _without_shapes(text: str) -> str:
    for shape, instead in _SHAPES:
        text = shape.sub(instead, text)
    return text


_UNSEEN = re.compile(
    "[\\s\u00ad\u034f\u115f\u1160\u180b-\u180f\u200b-\u200d\u2060-\u2064\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e01ef]+"
)
"""White space and characters that show nothing, in which a server may break a long word, or a terminal wraps it."""


def _without_broken(text: str) -> str:
    """Return `text` without known secrets that a server, or a line's end, breaks with characters of `_UNSEEN`."""
    seen = [place for place, sign in enumerate(text) if not _UNSEEN.match(sign)]
    joined = "".join(text[place] for place in seen)
    spans: list[tuple[int, int]] = []
    for value in {_UNSEEN.sub("", value) for value in _known()}:
        found = re.finditer(re.escape(value), joined) if len(value) >= _SHORTEST else ()
        spans += [(seen[match.start()], seen[match.end() - 1] + 1) for match in found]
    parts, shown = list[str](), 0
    for start, end in sorted(spans):
        parts += [text[shown:start], HIDDEN] if start >= shown else []
        shown = max(shown, end)
    return "".join([*parts, text[shown:]])


def beginning(text: str, limit: int) -> str:
    """Return the beginning of a text that may hold secrets, for `one_line`, which searches what it is given.

    Known secrets are replaced before the text is cut. The word that is cut may be a part of another and is dropped.
    """
    known = _without_known(text)
    return known if len(known) <= limit else known[:limit].rpartition(" ")[0]


def well_formed(text: str) -> str:
    """Return `text` with lone surrogates replaced, so that it can be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        # A pair of surrogates encodes one character. Only unpaired ones are replaced.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def one_line(text: str, *, limit: int = 300) -> str:
    """Return `text` without secrets and control sequences, on one line, at most `limit` characters long.

    What a terminal may show stays as it is, see `for_terminal`: joiners, no-break and ideographic spaces, new emoji.

    Secrets are redacted before the text is cut, so that no part of a secret remains. Known secrets are searched in the
    whole text, shapes only in its beginning. A word at the end of that beginning may be part of a secret and is
    dropped.
    """
    known = _without_known(text)
    # A control character within a secret hides it from the first search, so that the cleaned text is searched again.
    head = _without_known(_without_breaks(well_formed(known[: 20 * limit])))
    line = _without_shapes(_without_broken(head))
    if len(known) > 20 * limit and len(line) <= limit:
        line = line.rpartition(" ")[0][: limit - 1].rstrip() + "…"
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _without_breaks(text: str) -> str:
    return _BLANKS.sub(" ", for_terminal(_BLANKS.sub(" ", text))).strip(" ")
