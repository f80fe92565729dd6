"""The page as documents: their sources combined, and the policy that allows nothing else to run."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

_FOLDER = Path(__file__).parent
_ASK = (
    "dom.js",
    "growing.js",
    "run.js",
    "cards.js",
    "compare.js",
    "turn.js",
    "main.js",
)
_MORE = (
    "timeline.js",
    "clipboard.js",
    "again.js",
    "jump.js",
    "differences.js",
    "notes.js",
    "history.js",
    "keeping.js",
    "saving.js",
    "votes.js",
    "archive.js",
    "attach.js",
)
"""The scripts that are loaded at their first use. Classic scripts of one document share one scope."""
_LIBRARY = "markdown_it/markdown-it.umd.min.js"
_CSS_SPACE = re.compile(r"\s*([{};])\s*|(?<=[:,])[ ]+")
_COMMENT = re.compile(r"""\s+// [^"'`]*$""")
_STRICT = '"use strict";\n'


class Kind(Enum):
    """The documents: the page that asks, a saved report, and the mixture editor."""

    PAGE = "page"
    REPORT = "report"
    EDITOR = "editor"


class _Sources(NamedTuple):
    """The parts of a document: HTML with gaps, its style and its script."""

    html: str
    style: str
    script: str


@cache
def further_scripts() -> dict[str, str]:
    """Return the scripts that the page loads when they are first needed, by their names.

    `reader` is the Markdown library of https://github.com/markdown-it/markdown-it (MIT), with the code that makes
    elements of its tokens.
    """
    library = (_FOLDER / _LIBRARY).read_text(encoding="utf-8").rstrip()
    return {"more": _STRICT + _joined(_MORE), "reader": f"{_STRICT}{library}\n{_joined(('markdown.js',))}"}


@cache
def _sources(kind: Kind) -> _Sources:
    html = _joined(("editor.html" if kind is Kind.EDITOR else "page.html",)) + "\n"
    style = _joined(("page.css", "editor.css") if kind is Kind.EDITOR else ("page.css",))
    script = _STRICT + _joined(("dom.js", "editor.js") if kind is Kind.EDITOR else _ASK)
    for name, further in further_scripts().items():
        script = script.replace(f"/*{name}*/", _hash(further) if kind is Kind.PAGE else "")
    if kind is Kind.REPORT:
        # A report is one file: all scripts are in it.
        script = "\n".join([further_scripts()["reader"], further_scripts()["more"], script])
    return _Sources(html, _CSS_SPACE.sub(r"\1", style), script)


def _joined(names: tuple[str, ...]) -> str:
    return "\n".join(_compact((_FOLDER / name).read_text(encoding="utf-8")) for name in names)


def _compact(text: str) -> str:
    """Return the text without indents, empty lines and comments. No string of the page spans lines.

    A comment behind code is left where a quote follows its slashes: these may be inside a string.
    """
    lines = (_COMMENT.sub("", line.strip()) for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def policy(kind: Kind = Kind.PAGE) -> str:
    """Return the Content-Security-Policy: the page's scripts and style by hash, the server's routes, no HTML from text.

    A report is a file, so it may not connect at all.
    """
    _, style, script = _sources(kind)
    hashes = " ".join(
        f"'{_hash(each)}'" for each in [script, *(further_scripts().values() if kind is Kind.PAGE else ())]
    )
    parts = {
        "default-src": "'none'",
        # `strict-dynamic` is for browsers that know hashes of inline scripts only: there the page's own script may load
        # its further scripts, whose `integrity` it names.
        "script-src": f"{hashes} 'strict-dynamic'" if kind is Kind.PAGE else hashes,
        "style-src": f"'{_hash(style)}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        # The browser itself then refuses innerHTML and the like. The policy `moa` makes the addresses of the
        # further scripts, and nothing without one of the hashes above can run.
        "require-trusted-types-for": "'script'",
        "trusted-types": "moa" if kind is Kind.PAGE else "'none'",
    }
    # `frame-ancestors` has no effect in a document's own <meta>.
    parts |= {} if kind is Kind.REPORT else {"connect-src": "'self'", "frame-ancestors": "'none'"}
    return "; ".join(f"{name} {value}" for name, value in parts.items())


@cache
def whole_page(kind: Kind = Kind.PAGE) -> str:
    """Return the page that asks, or the editor."""
    return _put_together(kind, "", "null")


@cache
def zipped(text: str) -> bytes:
    """Return a document or script as gzip. The report and every answer are not compressed: they can hold secrets."""
    return gzip.compress(text.encode(), mtime=0)


def report_page(data: Any) -> str:
    """Return a page that only shows `data`, and needs no server."""
    # JSON inside a script element: nothing in it may end the element or open a comment.
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy(Kind.REPORT)}">'
    return _put_together(Kind.REPORT, meta, text)


def _put_together(kind: Kind, meta: str, data: str) -> str:
    html, style, script = _sources(kind)
    # In the order of the placeholders in the HTML, so that filled-in text is never searched.
    parts = {"<!--meta-->": meta, "/*style*/": style, "/*data*/": data, "/*script*/": script}
    whole = ""
    for gap, text in parts.items():
        before, _, html = html.partition(gap)
        whole += before + text
    return whole + html
