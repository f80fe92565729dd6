"""Options of `verify`: the first draft that passes a check is the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from moa_graph.mixture.combiner import Combiner, Outline, PlannedCall, drafting, writing
from moa_graph.mixture.combiners.checks import Check

__all__ = ["Verify"]


class Verify(Combiner):
    """Every draft is checked; the first that passes closes the round and is the answer, word for word.

    Attributes:
        check: A Python callable `(messages, text) -> bool | (bool, score, message)`, sync or async; or
            `{command: [...]}`; or `{json_schema: {...}}`.
        repairs: How many rounds in which authors are shown their draft and what the check said.
    """

    name: Literal["verify"] = "verify"
    check: Check
    repairs: int = Field(default=0, ge=0, le=5)

    @property
    def calls_authors(self) -> bool:
        return self.repairs > 0

    def extra_rounds(self, base: Sequence[list[str]], roster: list[str]) -> list[list[str]]:
        return [list(base[-1])] * self.repairs if base else []

    def planned(self, outline: Outline, *, least: bool) -> list[PlannedCall]:
        calls = drafting(outline)
        if least:
            return calls
        for number, specs in enumerate(outline.extra, start=1):
            calls += [PlannedCall(spec, len(outline.base) + number, "proposer", 2) for spec in specs]
        return [*calls, writing(outline, len(outline.last), layer=len(outline.base) + len(outline.extra) + 1)]
