"""Every finding of the attack has tests, and the tests exist."""

import ast
from pathlib import Path

import pytest

from tests.security.findings import FINDINGS

TESTS = Path(__file__).parents[1]
NAMES = [
    *(f"B{number}" for number in range(1, 5)),
    *(f"M{number}" for number in range(1, 18)),
    *(f"m{number}" for number in range(1, 23)),
]


def functions(file: str) -> set[str]:
    """The names of the functions at the top of a file below tests/."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_no_finding_is_left_out() -> None:
    assert [*FINDINGS] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_finding_has_tests_that_exist(name: str) -> None:
    finding = FINDINGS[name]
    assert finding.tests and len({*finding.tests}) == len(finding.tests)
    assert [each for each in finding.tests if each.split("::")[1] not in functions(each.split("::")[0])] == []
