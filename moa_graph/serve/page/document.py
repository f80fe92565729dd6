"""The page as one document: its sources put together, and the policy that lets nothing else run in it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
_SCRIPTS = (
    "dom.js",
    "markdown.js",
    "run.js",
    "cards.js",
    "timeline.js",
    "compare.js",
    "turn.js",
    "export.js",
    "history.js",
    "main.js",
)


@cache
def _sources() -> tuple[str, str, str]:
    """The page's HTML with its two gaps, its style and its script."""
    texts = [_compact((_FOLDER / name).read_text(encoding="utf-8")) for name in _SCRIPTS]
    style = _compact((_FOLDER / "page.css").read_text(encoding="utf-8"))
    # One strict function scope: the parts see each other, and the outside sees nothing.
    script = '"use strict";\n(() => {\n' + "\n".join(texts) + "\n})();\n"
    return (_FOLDER / "page.html").read_text(encoding="utf-8"), style, script


def _compact(text: str) -> str:
    """The text without indents, empty lines and whole-line comments: no string of the page spans lines."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


@cache
def policy(*, report: bool = False) -> str:
    """The Content-Security-Policy: our own script and style by their hashes, our own routes, and no HTML from text.

    A report is a file: it may not even connect.
    """
    _, style, script = _sources()
    parts = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        # The browser itself then refuses innerHTML and its kin.
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    # `frame-ancestors` has no effect in a document's own <meta>.
    parts |= {} if report else {"connect-src": "'self'", "frame-ancestors": "'none'"}
    return "; ".join(f"{name} {value}" for name, value in parts.items())


@cache
def whole_page() -> str:
    """The page that asks."""
    return _put_together("", "null")


@cache
def zipped_page() -> bytes:
    """The page that asks, as gzip. The report and every answer are sent as they are: they can hold secrets."""
    return gzip.compress(whole_page().encode(), mtime=0)


def report_page(data: Any) -> str:
    """A page that only shows `data`, and needs no server."""
    # JSON inside a script element: nothing in it may end the element or open a comment.
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy(report=True)}">'
    return _put_together(meta, text)


def _put_together(meta: str, data: str) -> str:
    html, style, script = _sources()
    # In the order in which they stand in the HTML, so that what is filled in is never looked at again.
    parts = {"<!--meta-->": meta, "/*style*/": style, "/*data*/": data, "/*script*/": script}
    whole = ""
    for gap, text in parts.items():
        before, _, html = html.partition(gap)
        whole += before + text
    return whole + html
