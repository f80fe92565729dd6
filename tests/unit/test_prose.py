"""The prose of the package: docstrings, comments and messages use standard technical English.

The list has terms and forms that were replaced. It is short on purpose: each entry has no other use in the package.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import moa_graph

PACKAGE = Path(moa_graph.__file__).parent

REPLACED: dict[str, str] = {
    r"\bpurse": "spending cap",
    r"\bstorey|\bthis room\b|\bhouse\b": "package, module or layer",
    r"\btwins?\b": "copy",
    r"\bcalm\b": "without retries",
    r"\bdearest\b": "most expensive",
    r"\bhow-manieth\b": "number",
    r"\bWhoever\b|\bwhoever (?!wrote)": "the user, the client, the process, ...",
    r"\bthat which\b": "a noun",
    r"(?<!there )\b(?:is|are) none\b": "not, or empty",
    r"(?<![Tt]here )\b(?:is|are) no (?!longer|more|problem|merit)": "is not a, are not",
    r"\banew\b": "again",
    r"\btold\b(?! apart| from)": "notified, configured, reported",
    r"\bof ours\b": "of this package",
    r"\bfor want of\b": "because of missing",
}
"""Form to avoid, as a regular expression, and its replacement."""


def prose(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line number and the text of every comment, docstring and message (strings of three words or more)."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value.split()) > 2:
            yield node.lineno, " ".join(node.value.split())


def findings(source: str) -> list[str]:
    """Return "LINE: 'FORM' (use REPLACEMENT)" for every form in the prose of a module."""
    return [
        f"{line}: {found[0]!r} (use {better})"
        for line, text in prose(source)
        for form, better in REPLACED.items()
        if (found := re.search(form, text))
    ]


def test_the_package_uses_standard_terms() -> None:
    found = {
        str(path.relative_to(PACKAGE)): lines
        for path in sorted(PACKAGE.rglob("*.py"))
        if (lines := findings(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "x = 1  # their twins without retries",
        'def f():\n    """Return what is left in the purse."""',
        'raise ValueError(f"{value!r} is no number, so it is refused")',
        'raise ValueError(f"model {name}: the provider was told to stop")',
    ],
)
def test_a_replaced_form_is_found(line: str) -> None:
    assert len(findings(line)) == 1


def test_code_and_proper_uses_are_not_found() -> None:
    source = 'house = told = 1\nx = "is no longer served here"  # None is not a number\ny = {"told": "purse"}\n'
    assert findings(source) == []


def test_a_class_name_means_one_thing() -> None:
    """Public class names are unique, except that a combiner's options (mixture) and its graph code share its name."""
    places: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "graph" / "combine"):
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
