"""Input that is refused before any request: one typed error with the input, the reason and the solution."""

import pytest

from moa_graph import create_moa
from tests.faults.foreign import Own
from tests.faults.refusals import ORPHAN, REFUSALS, refuse
from tests.provider import Provider


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "TOGETHER_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", sorted(REFUSALS))
async def test_it_is_refused_with_one_typed_error_and_no_request(name: str, provider: Provider) -> None:
    refusal = await refuse(name, provider)
    assert refusal.wrong is None
    assert refusal.requests == 0


async def test_an_orphan_tool_result_is_shown_as_text() -> None:
    model = Own(seen=[])
    await create_moa(proposers=[model], aggregator=Own()).ainvoke({"messages": ORPHAN})
    # Three user turns in a row would break templates that want strict turns.
    assert [(m.type, "42" in str(m.content)) for m in model.seen[0]] == [("human", True)]
