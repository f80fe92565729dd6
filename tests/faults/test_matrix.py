"""The short form of the matrix: every fault in every position once, with alternating modes.

`make faults` runs all of it.
"""

import itertools

import pytest

from tests.faults import matrix
from tests.faults.__main__ import planned, run_matrix, table


@pytest.mark.timeout(400)
async def test_every_fault_in_every_position() -> None:
    pairs = itertools.product(matrix.KINDS, matrix.POSITIONS)
    cells = [matrix.Cell(*pair, matrix.MODES[place % 3], 1) for place, pair in enumerate(pairs)]
    results = await run_matrix(cells)
    assert len(results) == len(matrix.KINDS) * 4
    assert [(result.cell, result.why) for result in results if result.outcome == "wrong"] == []
    assert len(table(results).splitlines()) == len(matrix.KINDS) + 2


def test_the_long_form_has_a_thousand_cells() -> None:
    assert len(set(planned())) >= 1000
