r"""Bring answers into one form, so that equal answers compare equal.

    same("1,000", "1000.0")                                # True

Every function is pure, never raises on any text, and takes linear time.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["normalized", "same"]

_LONGEST = 20_000
"""Characters at the end of an answer that are compared."""

_WRAPPED = re.compile(r"\\(?:text|mathrm|textbf|mathbf|textit|mbox|operatorname|boldsymbol|bm)\s*\{([^{}]*)\}")
_UNIT = re.compile(r"(?<=[\d}])\s*\\(?:text|mathrm|mbox)\s*\{[^{}]*\}(?:\s*\^\s*\{?\d\}?)?\s*$")
_FRACTION = re.compile(r"\\frac\s*(?:\{([^{}]+)\}|(\w))\s*(?:\{([^{}]+)\}|(\w))")
_PLAIN_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)")
_MARKS = str.maketrans({"\u2212": "-", "\u2013": "-", "\u2014": "-", "\u201c": '"', "\u201d": '"', "\u2019": "'"})


def same(left: str, right: str) -> bool:
    """Return whether two answers are equal once normalised."""
    return normalized(left) == normalized(right)


def normalized(answer: str) -> str:
    r"""Return `answer` in one form: `\dfrac12`, `\frac{1}{2}` and `1/2` are equal, as are `1,000` and `1000.0`."""
    text = unicodedata.normalize("NFKC", answer[-_LONGEST:].translate(_MARKS)).strip()
    text = text.removesuffix("<|im_end|>").removesuffix("</s>").strip().strip("*_`").strip()
    # A pair of backslashes ends a row of a matrix.
    marks = r"(\\\\)|\\[()\[\]$!,;: ]|\$|\\left|\\right|\\displaystyle"
    text = re.sub(marks, lambda m: m[1] or "", text)
    text = re.sub(r"\\[dt]frac", r"\\frac", text)
    text = _UNIT.sub("", text)
    text = _WRAPPED.sub(r"\1", text)
    text = re.sub(r"\^\s*\{?\s*\\circ\s*\}?|\\circ|\u00b0|\\%|%", "", text)
    text = re.sub(r"[\u20ac\u00a3\u00a5]", "", text)
    text = re.sub(r"\\sqrt\s*(\d)", r"\\sqrt{\1}", text)
    text = _FRACTION.sub(lambda m: f"{_part(m[1] or m[2])}/{_part(m[3] or m[4])}", text)
    text = re.sub(r"([\^_])(-?\d+|[A-Za-z])", r"\1{\2}", text).replace("{,}", ",")
    if not re.match(r"\\?[(\[{]", text):
        # In brackets a comma stands between the parts of a tuple, an interval or a set.
        text = re.sub(r"(?<=\d),(?=\d{3}(?:\D|$))", "", text)
    text = re.sub(r"\s+", "", text).casefold().rstrip(".,;:!")
    text = text.strip("\"'")
    return _plain_number(text) if _PLAIN_NUMBER.fullmatch(text) else text


def _part(text: str) -> str:
    text = text.strip()
    return text if re.fullmatch(r"-?\w+", text) else f"({text})"


def _plain_number(text: str) -> str:
    sign = "-" if text.startswith("-") else ""
    whole, _, rest = text.lstrip("+-").partition(".")
    whole, rest = whole.lstrip("0") or "0", rest.rstrip("0")
    found = f"{whole}.{rest}" if rest else whole
    return found if found == "0" else sign + found
