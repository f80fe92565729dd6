"""Twelve secrets in the environment, in headers, URLs and exception texts: none of them appears in any output."""

import pytest

from tests.faults.secrets import SECRETS, search


@pytest.mark.timeout(300)
def test_no_secret_gets_out() -> None:
    assert len(SECRETS) == 12
    assert {place: found for place, found in search().items() if found} == {}
