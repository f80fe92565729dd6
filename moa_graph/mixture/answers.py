r"""Read the final answer out of a model's text.

    read("... so the total is \\boxed{1,000}.")            # "1,000"

Used by the combiners `vote` and `escalate`, and by evaluations. Every function is pure, never raises on any text, and
takes linear time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from moa_graph.errors import ConfigError
from moa_graph.mixture.equal_answers import normalized, number_form
from moa_graph.mixture.patterns import check_pattern, last_match
from moa_graph.mixture.validation import Checked

__all__ = [
    "AnswerReader",
    "Reader",
    "boxed",
    "choice",
    "draft_number",
    "json_field",
    "json_objects",
    "key",
    "last_line",
    "number",
    "read",
]

_LONGEST = 20_000
"""Characters at the end of a text that are searched. A final answer stands at the end."""

_LONGEST_JSON = 200_000
"""Characters at the end of a text in which JSON objects are searched."""
_MOST_BRACES = 200
_MOST_DECODED = 1_000_000
"""Characters that may be decoded in vain in that search. It takes 20 ms."""

# Possessive quantifiers keep every search linear.
_STATED = re.compile(
    r"(?:^|\n)[ \t]*+####[ \t]*+(?P<a>[^\n]+)"
    r"|answer(?:[ \t]++to[ \t]++(?:the|this)[ \t]++(?:question|problem))?[ \t*_]*+"
    r"(?:(?:is|should[ \t]be|must[ \t]be|would[ \t]be)[ \t]*+[:\uff1a]?|[:=\uff1a])[ \t*_]*+"
    r"(?:the[ \t]++(?:final[ \t]++|correct[ \t]++)?answer[ \t]++is[ \t]*+:?[ \t]*+)?"
    # The answer, in its own line or in the next one. Lines of marks alone are skipped.
    r"(?:(?:\\\[|\$\$)?[ \t*_:]*+\n\s*+(?:(?:\\\[|\$\$)[ \t]*+\n\s*+)?)?(?P<b>[^\n]+)",
    re.I,
)
_TAG = re.compile(r"<(?P<end>/?)(?:final[_ -]?)?answer>", re.I)
_FENCE = re.compile(r"[ \t]*+(?:```+|~~~+)[\w+-]*+[ \t]*+")
_DIGITS = r"(?:\d{1,3}(?:(?:,|\{,\}|\\,|[\u00a0\u2009\u202f])\d{3})+(?!\d)|\d+)"
_NUMBER = re.compile(
    # A hyphen after a word or a number belongs to that: "GPT-4", "3-5", "2026-11-30".
    r"(?:(?<![\w)}\]])[-+\u2212])?(?:"
    r"\\[dt]?frac\s*\{-?\d+\}\s*\{\d+\}|\d*[\u00bc-\u00be\u2150-\u215e]"
    rf"|\d{{1,9}} \d{{1,9}}/\d{{1,9}}|{_DIGITS}(?:\.\d+)?(?:[eE][-+]?\d+)?(?:/\d+)?|\.\d+)"
)

Kind = Literal["final", "last_line", "number", "boxed", "choice", "text", "json", "regex"]


class AnswerReader(Checked):
    """How an answer is read.

    Attributes:
        read: `final` takes the last `\\boxed{...}`, else the last `<answer>`, else what follows "the answer is" or
            "####", else the last line. `number` takes the last number, `choice` the last option letter, `text` the
            whole text, `json` a field of the last JSON object, `regex` the last match's first group, or the whole
            match.
        field: For `json`: the field's name; dots lead into nested objects.
        pattern: For `regex`: a Python regular expression, which is searched in the last 20,000 characters. A search
            that takes longer than 50 ms finds nothing.
        choices: For `choice`: the option letters.
        normalize: Whether case, spaces, LaTeX forms, thousands separators, signs of currencies, percent and degrees,
            and units in `\\text{}` are ignored. For `number`, a fraction and its decimal are equal as well.
    """

    called = "combine.answer"

    read: Kind = "final"
    field: str | None = Field(default=None, min_length=1, max_length=200)
    pattern: str | None = Field(default=None, min_length=1, max_length=500)
    choices: str = Field(default="ABCD", min_length=2, max_length=26, pattern="^[A-Z]+$")
    normalize: bool = True

    def _check_whole(self) -> None:
        for kind, name in (("json", "field"), ("regex", "pattern")):
            if (self.read == kind) != (getattr(self, name) is not None):
                raise ConfigError(f"{self.called}: `read: {kind}` and `{name}` go together. Give both or neither.")
        if self.pattern is not None:
            try:
                check_pattern(self.pattern)
            except ValueError as exc:
                raise ConfigError(f"{self.called}.pattern: not a regular expression ({exc}).") from None


def _reader(value: Any) -> Any:
    return {"read": value} if isinstance(value, str) else value


Reader = Annotated[AnswerReader, BeforeValidator(_reader, json_schema_input_type=Kind | AnswerReader)]
"""A field that takes a reader's name or its options."""

_FINAL = AnswerReader()


def read(text: str, how: AnswerReader = _FINAL) -> str | None:
    """Return the final answer in `text` as it is written there, or None."""
    tail = text[-_LONGEST:]
    found: str | None
    match how.read:
        case "final":
            found = boxed(tail) or _tagged(tail) or _stated(tail) or _named(tail) or last_line(tail)
        case "last_line":
            found = last_line(tail)
        case "number":
            found = number(tail)
        case "boxed":
            found = boxed(tail)
        case "choice":
            found = choice(tail, how.choices)
        case "text":
            found = text
        case "json":
            found = json_field(tail, how.field or "")
        case "regex":
            found = last_match(how.pattern or "", tail)
    return (found or "").strip() or None


def key(text: str, how: AnswerReader = _FINAL) -> str | None:
    """Return what answers are compared by: the answer in `text`, normalised if `how` says so; None without one."""
    answer = read(text, how)
    if answer is None or not how.normalize:
        return answer
    return (number_form(answer) if how.read == "number" else normalized(answer)) or None


def last_line(text: str) -> str | None:
    """Return the last line that is neither blank nor a fence of code."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _FENCE.fullmatch(line)]
    return lines[-1] if lines else None


def number(text: str) -> str | None:
    """Return the last number, with its thousands separators."""
    found = None
    for match in _NUMBER.finditer(text):
        found = match[0]
    return found


def boxed(text: str) -> str | None:
    r"""Return what the last complete `\boxed{...}` or `\fbox{...}` contains; braces may be nested."""
    end = len(text)
    while (start := max(text.rfind("\\boxed", 0, end), text.rfind("\\fbox", 0, end))) >= 0:
        match = re.compile(r"\\(?:boxed|fbox)\s*(?:\{|(\S+))").match(text, start)
        if match and match[1]:
            return match[1].rstrip("$.")
        if match and (inner := _braced(text, match.end(), end)) is not None:
            return inner
        # Only what stands before this one is searched next, so that the whole search stays linear.
        end = start
    return None


def _braced(text: str, start: int, end: int) -> str | None:
    depth = 1
    for place in range(start, end):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place]
    return None


def choice(text: str, letters: str = "ABCD") -> str | None:
    """Return the chosen option letter: in a box, after "answer", as the one that is called right or chosen, or the last
    one that stands in brackets or alone."""
    for part in (boxed(text), _tagged(text), _named(text), _stated(text), text if len(text.strip()) < 5 else None):
        if part and (found := _first_letter(part.strip(), letters)):
            return found
    one = f"([{letters}])(?![A-Za-z'])"
    chosen = re.findall(
        rf"(?:correct|right|best)\s+(?:option|choice|letter|one)\s*(?:is|:){_OPEN}(?:option\s+)?{_OPEN}{one}"
        rf"|(?<![A-Za-z']){one}[)\]*_\"'.]*\s+is\s+(?:the\s+)?(?:correct|right|best)(?!\w)"
        rf"|(?:choose|pick|select|go\s+with)\s+(?:option\s+)?{_OPEN}{one}",
        text,
    )
    bracketed = re.findall(rf"[(\[]([{letters}])[)\]]", text)
    # "A" and "I" before a lower-case word are the article and the pronoun, unless the word goes on about an option.
    alone = re.findall(rf"(?<![A-Za-z'])(?![AI][ \t]+(?!(?:{_ABOUT})\b)[a-z]){one}", text)
    letters_found = ["".join(each) for each in chosen] or bracketed or alone
    return str(letters_found[-1]) if letters_found else None


_OPEN = r"[\s(*_\"'$:]*+"
_ABOUT = "is|was|or|and|because|since|as|has|would|seems"


def _first_letter(text: str, letters: str) -> str | None:
    """Return the option letter that a text begins with. A small letter counts where nothing but a mark follows it."""
    lead = (
        r"[\s({\[*_\"'`$\u201c\u2018]*+(?:\\(?:text|textbf|mathbf|mathrm)\{)?[\s(]*+"
        r"(?:(?:option|choice|letter)\s+)?[\s(*_]*+"
    )
    small = rf"(?i:[{letters}])(?=[\s*_\"'`$]*+(?:[)\]}}.,:;]|$))"
    # "I" before a word is the pronoun: "The answer is: I don't know".
    pronoun = rf"I(?:['\u2019]|[ \t]+(?!(?:{_ABOUT})\b)[a-z])"
    found = re.match(rf"(?i:{lead})(?!{pronoun})([{letters}](?![A-Za-z])|{small})", text)
    return found[1].upper() if found else None


def json_field(text: str, field: str) -> str | None:
    """Return a field of the last JSON object in `text`, as text; values that are not text as JSON."""
    last = None
    for value in json_objects(text):
        last = value
    found: Any = last
    for name in field.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if found is None or isinstance(found, str):
        return found
    return json.dumps(found, sort_keys=True, ensure_ascii=False)


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects at the end of `text` from the left, outermost only.

    At most `_MOST_BRACES` opening braces are tried, and fewer when they begin long texts that turn out not to be JSON.
    """
    decoder, text, left = json.JSONDecoder(), text[-_LONGEST_JSON:], _MOST_DECODED
    place = text.find("{")
    for _ in range(_MOST_BRACES):
        if place < 0 or left < 0:
            return
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            left -= (error.pos if isinstance(error, json.JSONDecodeError) else len(text)) - place
            place += 1
        else:
            if isinstance(value, dict):
                yield value
        place = text.find("{", place)


def _stated(text: str) -> str | None:
    found = None
    for match in _STATED.finditer(text):
        found = match["a"] or match["b"]
    # The sentence may go on: "The answer is 22. Let me know if ..."
    return None if found is None else re.split(r"(?<=[^.\s])\.(?:\s|$|<)|<\|", found, maxsplit=1)[0].strip()


def _tagged(text: str) -> str | None:
    """Return the answer in the last `<answer>` that is closed and holds any text."""
    start, found = None, ""
    for tag in _TAG.finditer(text):
        if not tag["end"]:
            start = tag.end()
        elif start is not None:
            found, start = text[start : tag.start()].strip() or found, None
    return _stated(found) or _named(found) or last_line(found)


def _named(text: str) -> str | None:
    """Return the field `answer` or `final_answer` of the last JSON object that has one."""
    fields = ("final_answer", "answer")
    if not any(f'"{field}"' in text for field in fields):
        return None
    found = [value[field] for value in json_objects(text) for field in fields if field in value]
    return None if not found or isinstance(found[-1], dict | list | None) else str(found[-1])


def draft_number(value: object) -> int | None:
    """Return the number by which a reply names a draft: 2, "2" or "Draft 2"; None for anything else."""
    if isinstance(value, str):
        digits = re.findall(r"\d+", value[:100])
        return int(digits[0]) if len(digits) == 1 else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
