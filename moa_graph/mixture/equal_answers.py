r"""Bring answers into one form, so that equal answers compare equal.

    same("1,000", "1000.0")                                # True

Every function is pure, never raises on any text, and takes linear time.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from fractions import Fraction

__all__ = ["normalized", "number_form", "same"]

_LONGEST = 20_000
"""Characters at the end of an answer that are compared."""

_WRAPPED = re.compile(r"\\(?:text|mathrm|textbf|mathbf|textit|mbox|operatorname|boldsymbol|bm)\s*\{([^{}]*)\}")
_UNIT = re.compile(
    # A word that multiplies, and the half of a day, are part of the answer.
    r"(?<=[\d}])\s*\\(?:text|mathrm|mbox)\s*\{(?!\s*(?i:(?:hundred|thousand|[mbt]r?illion|dozen|[ap]\.?m)\b))[^{}]*\}"
    r"(?:\s*\^\s*\{?\d\}?)?\s*$"
)
# Braces of a root, a power or an index may be inside.
_BRACED = r"\{((?:(?:\\sqrt|[\^_])\s*+\{[^{}]*+\}|[^{}])++)\}"
_FRACTION = re.compile(rf"\\frac\s*(?:{_BRACED}|(\w))\s*(?:{_BRACED}|(\w))")
_NUMERATOR = re.compile(r"-?[^-+/,]+")
_DENOMINATOR = re.compile(r"-?\w+|\\[a-z]+(?:\{[^{}]*\})?", re.I)
"""What needs no brackets in a fraction."""
_MIXED = re.compile(r"(?<![\w./^{])(\d{1,9}) (\d{1,9})/(\d{1,9})(?![\w./^])")
# Possessive quantifiers: a row of 20,000 digits took six seconds.
_PLAIN_NUMBER = re.compile(r"[-+]?(?:\d++\.?\d*+|\.\d++)")
_POWER_OF_TEN = re.compile(r"([-+]?(?:\d++\.?\d*+|\.\d++))(?:e|\*10\^\{)([-+]?\d{1,2})\}?")
_RAISED = re.compile("([\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207a\u207b\u207f]+)")
_LOWERED = re.compile("([\u2080-\u2089\u2099]+)")
_PART_OF_ONE = re.compile("(?<=\\d)(?=[\u00bc-\u00be\u2150-\u215e])")
_MARKS = str.maketrans({"\u2212": "-", "\u2013": "-", "\u2014": "-", "\u201c": '"', "\u201d": '"', "\u2019": "'"})
_SIGNS = str.maketrans({
    "\u2044": "/", "\u00d7": r"\times ", "\u00b7": r"\cdot ", "\u22c5": r"\cdot ", "\u03c0": r"\pi ",
    "\u221e": r"\infty ", "\u2264": r"\leq ", "\u2265": r"\geq ", "\u221a": r"\sqrt ",
})  # fmt: skip


def same(left: str, right: str) -> bool:
    """Return whether two answers are equal once normalised."""
    return normalized(left) == normalized(right)


def normalized(answer: str) -> str:
    r"""Return `answer` in one form: `\dfrac12`, `\frac{1}{2}` and `1/2` are equal, as are `1,000` and `1000.0`."""
    text = _plain_signs(answer[-_LONGEST:]).strip()
    text = text.removesuffix("<|im_end|>").removesuffix("</s>").strip().strip("*_`").strip()
    # A pair of backslashes ends a row of a matrix.
    marks = r"(\\\\)|\\[()\[\]$]|\\!\s*+|\$|\\left(?![a-z])|\\right(?![a-z])|\\displaystyle"
    text = re.sub(marks, lambda m: m[1] or "", text)
    text = re.sub(r"(\\\\)|\\[,;: ]", lambda m: m[1] or " ", text)
    text = re.sub(r"\\[dt]frac", r"\\frac", text)
    text = _UNIT.sub("", text)
    text = _WRAPPED.sub(r"\1", text)
    text = re.sub(r"\^\s*\{?\s*\\circ\s*\}?|\\circ|\u00b0|\\%|%", "", text)
    text = re.sub(r"[\u20ac\u00a3\u00a5]", "", text)
    text = re.sub(r"\\sqrt\s*(\d)", r"\\sqrt{\1}", text)
    text = re.sub(r"(?<=\d)\\frac", r" \\frac", text)
    text = _FRACTION.sub(lambda m: f"{_part(m[1] or m[2], _NUMERATOR)}/{_part(m[3] or m[4], _DENOMINATOR)}", text)
    text = re.sub(r"([\^_])(-?\d+|[A-Za-z])", r"\1{\2}", text).replace("{,}", ",")
    if not re.match(r"\\?[(\[{]", text):
        # In brackets a comma stands between the parts of a tuple, an interval or a set.
        text = re.sub(r"(?<=\d),(?=\d{3}(?:\D|$))", "", text)
    text = _without_spaces(text).casefold().rstrip(".,;:!").strip("\"'")
    text = re.sub(r"\\(?:times|cdot)(?![a-z])", "*", text)
    # "x = 5" is 5.
    text = re.sub(r"^[a-z]=(?=[^=]+$)", "", text)
    return _plain_number(re.sub(r"^\(?([a-z])\)$", r"\1", text))


def number_form(answer: str) -> str:
    """Return `normalized`, with a fraction of two numbers as a decimal if it ends, or else reduced.

    2/4, 1/2 and 0.5 are equal then.
    """
    plain = normalized(answer)
    if not re.fullmatch(r"[-+]?\d{1,15}/0*[1-9]\d{0,14}", plain):
        return plain
    value = Fraction(plain)
    decimal = Decimal(value.numerator) / value.denominator
    return _plain_number(format(decimal, "f")) if Fraction(decimal) == value else str(value)


def _plain_signs(text: str) -> str:
    """Return the text with raised digits, vulgar fractions, signs, and digits of other scripts in one form."""
    text = _LOWERED.sub(r"_{\1}", _RAISED.sub(r"^{\1}", text))
    # One character may become eighteen.
    text = unicodedata.normalize("NFKC", _PART_OF_ONE.sub(" ", text))[-_LONGEST:].translate(_MARKS).translate(_SIGNS)
    return text if text.isascii() else re.sub(r"\d", lambda m: str(unicodedata.digit(m[0])), text)


def _without_spaces(text: str) -> str:
    """Return the text without spaces, except those between two numbers. A mixed number becomes a fraction."""
    text = re.sub(r"(?<![\d.,])\d{1,3}(?:\s\d{3})+(?!\d)", lambda m: re.sub(r"\s", "", m[0]), text)
    text = re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", re.sub(r"\s+", " ", text))
    return _MIXED.sub(lambda m: f"{int(m[1]) * int(m[3]) + int(m[2])}/{m[3]}", text)


def _part(text: str, plain: re.Pattern[str]) -> str:
    text = text.strip()
    return text if plain.fullmatch(text) else f"({text})"


def _plain_number(text: str) -> str:
    """Return a number without superfluous signs, zeros and powers of ten; any other text as it is."""
    if power := _POWER_OF_TEN.fullmatch(text):
        text = format(Decimal(f"{power[1]}e{power[2]}"), "f")
    if not _PLAIN_NUMBER.fullmatch(text):
        return text
    sign = "-" if text.startswith("-") else ""
    whole, _, rest = text.lstrip("+-").partition(".")
    whole, rest = whole.lstrip("0") or "0", rest.rstrip("0")
    found = f"{whole}.{rest}" if rest else whole
    return found if found == "0" else sign + found
