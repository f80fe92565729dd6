"""A regular expression or a schema, of a file or of the user's own, cannot stop the process on a model's short text."""

import asyncio
import json
import time
from typing import Any

import pytest

from moa_graph.errors import ConfigError, InputError
from moa_graph.evals.mt_bench import scores
from moa_graph.evals.prompts.grade import check_gold, is_right
from moa_graph.graph.combine import checks
from moa_graph.mixture import patterns
from moa_graph.mixture.answers import AnswerReader, read
from moa_graph.mixture.combiners import SchemaCheck
from moa_graph.mixture.equal_answers import number_form
from moa_graph.models.faults.reading import body_of
from moa_graph.models.local.schema import fitting

SECONDS = 5.0
"""Far more than each takes here, and far less than each took."""


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^(a|aa)+$", "a" * 80 + "!"),
        (r"^(a+)+$", "a" * 80 + "!"),
        (r"(x+x+)+y", "x" * 20_000),
        (r"(?:\w+\s?)+:", "a " * 9_000),
        (r"(?i)(.*a){25}", "a" * 24 + "b" * 10_000),
    ],
)
def test_reading_an_answer_by_a_pattern_ends(pattern: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_GRADING", 0.1)
    start = time.process_time()
    assert read(text, AnswerReader(read="regex", pattern=pattern)) is None
    assert not is_right(text, [pattern], "regex")
    assert time.process_time() - start < SECONDS


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"answer: (\w+)", "answer: one\nanswer: two", "two"),
        (r"\d{4}-\d{2}-\d{2}", "on 2026-11-30 or 2026-12-01", "2026-12-01"),
        (r"(?m)^\s*=>\s*(.+)$", "=> a\n => b ", "b"),
        (r"(?<=is )\d+(?! %)", "it is 5 % and is 7", "7"),
        (r"(?P<word>[a-z]{2,20})\1?", "ab cd", "cd"),
        (r"x", "none", None),
        (r"a{99999}", "a", None),
    ],
)
def test_usual_patterns_find_what_they_found(pattern: str, text: str, found: str | None) -> None:
    assert read(text, AnswerReader(read="regex", pattern=pattern)) == found
    assert is_right(text, [pattern], "regex") is (found is not None)


@pytest.mark.parametrize(
    "pattern",
    ["(?:a{60000}){60000}", "(?:(?:(?:a{500}){500}){500}){500}", "a{99999999999}", "(", r"(?<=a+)b", "(?R)"],
)
def test_a_pattern_that_cannot_be_compiled_is_refused_at_once(pattern: str) -> None:
    """Repetitions within each other took eight gigabytes, or an error without a name."""
    start = time.process_time()
    with pytest.raises(ConfigError, match="pattern: not a regular expression"):
        AnswerReader(read="regex", pattern=pattern)
    with pytest.raises(InputError, match="is not a regular expression"):
        check_gold("regex", [pattern], "line 1")
    assert time.process_time() - start < SECONDS


STALLS: dict[str, tuple[dict[str, Any], str]] = {
    "a pattern": ({"type": "string", "pattern": "^(a+)+$"}, json.dumps("a" * 60 + "!")),
    "a pattern of names": (
        {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}, json.dumps({"a" * 60 + "!": 1})
    ),
    "unique items": ({"uniqueItems": True}, json.dumps([{"a": n} for n in range(20_000)])),
}  # fmt: skip


@pytest.mark.parametrize("name", STALLS)
async def test_a_check_by_a_schema_ends_and_stops_nothing_else(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_SCHEMA_SECONDS", 0.5)
    schema, text = STALLS[name]
    checking = asyncio.ensure_future(checks.run_check(SchemaCheck(json_schema=schema), [], text))
    worst = 0.0
    while not checking.done():
        start = time.monotonic()
        await asyncio.sleep(0.01)
        worst = max(worst, time.monotonic() - start)
    verdict = await checking
    assert not verdict.passed and verdict.error == "the check did not end within 0.5 s"
    assert worst < SECONDS


@pytest.mark.parametrize(
    ("text", "passed", "words"),
    [
        ('{"x": "abc\u00e9"}', True, ""),
        ('```json\n{"x": "abc"}\n```', True, ""),
        ('{"x": "b\ud800\u00e9"}', False, "$.x: 'b\\ud800\u00e9' does not match '^a'"),
        ("no", False, "not JSON: Expecting value: line 1 column 1 (char 0)"),
        ('{"y": 1}', False, "$: 'x' is a required property"),
    ],
)
async def test_a_check_in_a_program_says_what_one_in_this_process_says(text: str, passed: bool, words: str) -> None:
    schema = {"type": "object", "properties": {"x": {"pattern": "^a"}}, "required": ["x"]}
    verdict = await checks.run_check(SchemaCheck(json_schema=schema), [], text)
    assert (verdict.passed, verdict.message, verdict.error) == (passed, words, None)


async def test_checks_in_programs_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds at once, as in a batch, were all too slow for the limit of one."""
    running: list[int] = []
    now = 0

    async def run(*_: object) -> tuple[int, str]:
        nonlocal now
        now += 1
        running.append(now)
        await asyncio.sleep(0)
        now -= 1
        return 0, ""

    monkeypatch.setattr(checks, "_run", run)
    check = SchemaCheck(json_schema={"pattern": "^a"})
    verdicts = await asyncio.gather(*(checks.run_check(check, [], '"a"') for _ in range(100)))
    assert all(verdict.passed for verdict in verdicts) and max(running) == checks._AT_ONCE


async def test_a_schema_that_cannot_be_followed_is_the_checks_error() -> None:
    schema = {"pattern": "a", "$ref": "https://example.com/schema"}
    verdict = await checks.run_check(SchemaCheck(json_schema=schema), [], "{}")
    assert not verdict.passed and "Unresolvable: https://example.com/schema" in (verdict.error or "")


async def test_the_words_of_many_problems_are_not_kept() -> None:
    """Each repeats the whole value."""
    schema = {"required": [f"n{number}" for number in range(500)]}
    verdict = await checks.run_check(SchemaCheck(json_schema=schema), [], json.dumps({"x": "y" * 100_000}))
    lines = verdict.message.split("\n")
    assert len(lines) == 20 and all(len(line) < 400 for line in lines)


@pytest.mark.parametrize("unit", ["1", "0", "1.", "1,", "12 ", "1/", "\u00b2", "\ufdfa"])
@pytest.mark.parametrize("end", ["", "x"])
def test_a_long_answer_is_brought_into_one_form_at_once(unit: str, end: str) -> None:
    """A row of 20,000 digits, which a `vote` reads on the event loop, took six seconds."""
    start = time.process_time()
    assert len(number_form(unit * (20_000 // len(unit)) + end)) < 200_000
    assert time.process_time() - start < 2


@pytest.mark.parametrize("text", ["[[" + "1" * 20_000, "[" + "1" * 20_000, "[[" + "1" * 20_000 + ".]"])
def test_a_judges_row_of_digits_is_read_at_once(text: str) -> None:
    start = time.process_time()
    assert scores.rating(text) == scores.FAILED
    assert time.process_time() - start < SECONDS


def test_the_text_of_a_streams_error_is_read_at_once() -> None:
    start = time.process_time()
    assert body_of(ValueError("_" * 200_000)) is None
    assert time.process_time() - start < SECONDS


def doubled(count: int) -> dict[str, Any]:
    def parts(number: int) -> dict[str, Any]:
        return {"type": "object", "properties": {name: {"$ref": f"#/$defs/d{number + 1}"} for name in "ab"}}

    defs = {f"d{number}": parts(number) if number < count else {"type": "string"} for number in range(count + 1)}
    return {"type": "object", "properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": defs}


def mutual(count: int) -> dict[str, Any]:
    every = [{"$ref": f"#/$defs/d{number}"} for number in range(count)]
    return {"$ref": "#/$defs/d0", "$defs": {f"d{number}": {"anyOf": every} for number in range(count)}}


@pytest.mark.parametrize("schema", [doubled(19), mutual(9)], ids=["doubled", "mutual"])
def test_references_of_a_response_format_are_replaced_a_bounded_number_of_times(schema: dict[str, Any]) -> None:
    """The embedded model's: 2,500 bytes of a client took seconds, and twice as long with each further definition."""
    start = time.process_time()
    found = fitting(schema, 500)
    assert time.process_time() - start < SECONDS and len(json.dumps(found)) < 300_000
    assert found["$defs"].keys() == schema["$defs"].keys(), "what still refers to them finds them"
