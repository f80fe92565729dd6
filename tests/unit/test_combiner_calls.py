"""README's table of combiners states the calls that a mixture counts, and that estimates and caps use."""

import re
from pathlib import Path
from typing import Any

import pytest

from moa_graph import Mixture
from moa_graph.mixture.combiners import NAMES

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
_CALLS = r"([n0-9+*/ ]*n[n0-9+*/ ]*)"
ROWS = re.findall(rf"^\| (`[a-z]+`[^|]*) \| {_CALLS} \| {_CALLS} \| [^|]+ \|$", README, flags=re.M)
NEEDED: dict[str, dict[str, Any]] = {
    "verify": {"check": lambda messages, text: True},
    "escalate": {"strong": ["openai:strong"]},
}


def options(cell: str) -> dict[str, Any]:
    """The combiner of a row, from "`select`, `by: peers`"."""
    name, *fields = re.findall(r"`([^`]+)`", cell)
    pairs = (field.split(": ") for field in fields)
    given = {key: int(value) if value.isdigit() else value for key, value in pairs}
    return {"name": name, **NEEDED.get(name, {}), **given}


def test_the_table_names_every_combiner() -> None:
    assert {options(cell)["name"] for cell, _, _ in ROWS} == set(NAMES)


@pytest.mark.parametrize(("cell", "fewest", "most"), ROWS)
@pytest.mark.parametrize("n", [2, 3, 6])
def test_the_calls_are_those_of_the_mixture(cell: str, fewest: str, most: str, n: int) -> None:
    proposers: Any = [f"openai:p{number}" for number in range(n)]
    mixture = Mixture(proposers=proposers, aggregator="openai:w", combine=options(cell))
    stated = [eval(formula, {"n": n}) for formula in (fewest, most)]
    assert [mixture.calls(least=True), mixture.calls()] == stated
