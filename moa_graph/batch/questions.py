"""The questions of a JSONL file, read one at a time.

A line is a string, a list of messages, or an object with `prompt` (a string) or `messages`. An object may have an `id`
(a string or an integer); otherwise the id is the line's number. Other fields are ignored. Blank lines are skipped.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage

from moa_graph.errors import InputError
from moa_graph.graph.checks.messages import check
from moa_graph.state import add_checked
from moa_graph.state.value_text import given as shown


class Question(NamedTuple):
    """The question of one line.

    Attributes:
        line: The line's number, 1-based.
        id: The line's own id, or else its number.
        messages: The conversation.
        named: Whether the line has an id of its own.
        copy: The number of earlier lines without an id that have the same messages.
    """

    line: int
    id: str | int
    messages: list[Any]
    named: bool = True
    copy: int = 0

    @property
    def item(self) -> str:
        """The question's name in a ledger and a context: at most 200 characters, valid in every encoding.

        A line without an id is named by a digest of its text, so that its stored result is found again after lines are
        inserted before it.
        """
        if not self.named:
            return f"text-{_digest(json.dumps(self.messages, sort_keys=True))[:32]}-{self.copy}"
        text = str(self.id)
        usable = len(text) <= 200 and text.isprintable() and not re.search("[\ud800-\udfff]", text)
        return text if usable else f"id-{_digest(text)}"


def _digest(text: str) -> str:
    # Lone surrogates are kept distinct, so that two ids never get one name.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class BadLine(NamedTuple):
    """A line that is not a question, and why."""

    line: int
    id: str | int
    reason: str


class Shard(NamedTuple):
    """Every `of`-th line, starting with line `number` (1-based)."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse a shard.

        Args:
            text: "i/n", the i-th of n parts, such as "2/8".

        Raises:
            InputError: The text does not have that form, or the shard does not exist.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
        shard = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
        if not 1 <= shard.number <= shard.of:
            raise InputError(f"shard {text!r}: write i/n, the i-th of n parts, for example 1/4 ... 4/4.")
        return shard

    def holds(self, line: int) -> bool:
        """Return whether a line belongs to the shard.

        Args:
            line: The line's number, from 1.
        """
        return (line - self.number) % self.of == 0


WHOLE = Shard()


_HEAD = 1 << 16
_KINDS = (
    ((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff"), "UTF-16 or UTF-32 text: save it as UTF-8"),
    ((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK\x03\x04", b"\x28\xb5\x2f\xfd"), "compressed: unpack it"),
    ((b"PAR1",), "a Parquet file: write it as JSON Lines"),
)
"""How files begin that have no lines of text, and what they are."""
_CSV_HEADER = re.compile(rb"(?=.*\b(?:id|prompt|question|messages)\b)[\w\"]{1,99}(?:[,;\t][\w\" ]{1,99}){1,99}")


def require_lines(path: Path, name: str, *, text: bool = False) -> None:
    """Check that a file has lines of text, so that it is one error and not one for every line.

    Args:
        path: The file.
        name: The file as messages name it.
        text: Whether a line is a question as it is, and not JSON.

    Raises:
        InputError: It is encoded otherwise, compressed, or one JSON value over several lines.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
        file.seek(max(0, path.stat().st_size - _HEAD))
        tail = file.read(_HEAD).rstrip()
        last = tail.rpartition(b"\n")[2].strip()
    found = next((kind for starts, kind in _KINDS if head.startswith(starts)), None)
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")[0].strip()
    if found is None and b"\0" in first:
        found = "UTF-16 text without a mark, or binary: save it as UTF-8"
    elif found is None and b"\n" not in head and b"\r" in head.strip():
        found = "text whose lines end with a carriage return alone: end them with a line feed"
    elif found is None and not text and first in (b"[", b"{", b"[{") and last in (b"]", b"}", b"}]"):
        found = "one JSON value over several lines: write each question on one line (`jq -c '.[]'` does so for a list)"
    elif found is None and not text and _CSV_HEADER.fullmatch(first):
        found = "CSV: write each row as a JSON object, as pandas does: `to_json(path, orient='records', lines=True)`"
    elif found is None and not text and first.startswith(b"[") and _is_one_list(first + tail):
        found = "one JSON list on one line: write each question on a line of its own (`jq -c '.[]'` does so)"
    if found:
        raise InputError(f"{name} is {found}")


def _is_one_list(ends: bytes) -> bool:
    """Return whether a file with these ends is one list of questions on one line. Messages have roles or types."""
    is_list = re.match(rb'\[\s*["{]', ends) is not None and ends.endswith(b"]")
    return is_list and not any(part in ends for part in (b"\n", b'"role"', b'"type"'))


def count(path: Path, shard: Shard) -> int:
    """Return the number of lines of the shard that are not blank."""
    return sum(1 for _ in _lines(path, shard))


def read(path: Path, shard: Shard) -> Iterator[Question | BadLine]:
    """Yield the shard's questions in order. A bad line does not end the iteration.

    A hash of every item is kept to find duplicates: about 100 bytes per line.
    """
    seen: Counter[bytes] = Counter()
    for line, raw in _lines(path, shard):
        entry = _parse(line, raw)
        # A bad line does not reserve its id.
        if isinstance(entry, Question):
            mark = hashlib.sha256(entry.item.encode()).digest()[:16]
            if seen[mark] and entry.named:
                entry = BadLine(line, entry.id, f"the id {str(entry.id)[:60]!r} is already used by an earlier line")
            elif not entry.named:
                entry = entry._replace(copy=seen[mark])
            seen[mark] += 1
        yield entry


def _lines(path: Path, shard: Shard) -> Iterator[tuple[int, bytes]]:
    # Bytes are split at \n only. Text would also be split inside strings, for example at U+2028.
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if shard.holds(number) and raw.strip():
                yield number, raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw


def _parse(line: int, raw: bytes) -> Question | BadLine:
    try:
        value = json.loads(raw.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as exc:
        return BadLine(line, line, f"not UTF-8 (byte {exc.start + 1})")
    except json.JSONDecodeError as exc:
        return BadLine(line, line, f"not JSON (column {exc.colno})")
    except ValueError:
        return BadLine(line, line, "a number that JSON does not have, or that is too long: NaN, Infinity, 5,000 digits")
    except RecursionError:
        return BadLine(line, line, "JSON that is nested too deeply")
    given = value.get("id") if isinstance(value, dict) else None
    if given is not None and (isinstance(given, bool) or not isinstance(given, str | int)):
        return BadLine(line, line, f"id: expected text or a whole number, got {shown(given)}")
    name = line if given is None else given
    try:
        return Question(line, name, _messages(value), named=given is not None)
    except InputError as exc:
        return BadLine(line, name, str(exc))


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _messages(value: Any) -> list[Any]:
    """Return the line's messages unchanged.

    Raises:
        InputError: There are no messages, or no model could answer them.
    """
    if isinstance(value, dict):
        given = [value[key] for key in ("prompt", "messages") if value.get(key) is not None]
        if len(given) != 1:
            fields = "" if given else f", got an object with {', '.join(map(shown, list(value)[:5])) or 'nothing'}"
            raise InputError(f'give either "prompt" (text) or "messages" (a list){fields}')
        if (value.get("prompt") is not None) != isinstance(given[0], str):
            raise InputError('"prompt" must be text, "messages" a list of messages')
        value = given[0]
    messages = [{"role": "user", "content": value}] if isinstance(value, str) else value
    if not isinstance(messages, list):
        raise InputError(f"expected text, a list of messages or an object, got {shown(messages)}")
    for place, message in enumerate(messages):
        if not isinstance(message, dict | BaseMessage):
            raise InputError(f"messages[{place}]: expected a message with role and content, got {shown(message)}")
    try:
        # Copies, because LangChain's conversion removes fields from the dicts it is given.
        check(add_checked([], [dict(m) if isinstance(m, dict) else m for m in messages]))
    except RecursionError:
        raise InputError("messages: nested too deeply") from None
    return messages
