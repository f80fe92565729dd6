"""The combiners' table of faults in short: every fault in every place, once."""

import pytest

from moa_graph.mixture.combiners import NAMES
from tests.faults.combiner_matrix import PLACES, _combine, cells, run_cells
from tests.provider import Provider

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("place", PLACES)
async def test_a_run_survives_every_fault_of_a_combiners_own_calls(place: str) -> None:
    assert await run_cells([cell for cell in cells() if cell.place == place], workers=4) == []


def test_every_combiner_with_its_own_calls_is_tried() -> None:
    with Provider() as provider:
        tried = {_combine(cell, provider)["name"] for cell in cells() if cell.fault == "err500"}
    assert tried == set(NAMES) - {"synthesize", "vote"}
