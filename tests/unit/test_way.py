"""The number of modules that one call of a proposer runs through."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from moa_graph import create_moa

MODULES, CHANGES = 16, 45
"""The most modules of this package that the call may run through, and the most changes from one module to another."""


@pytest.fixture
def profiled() -> Iterator[list[tuple[str, str]]]:
    """The module and the name of every function of this package that is called or resumed, in order."""
    found: list[tuple[str, str]] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        module = str(frame.f_globals.get("__name__", ""))
        if event == "call" and module.startswith("moa_graph"):
            found.append((module, frame.f_code.co_name))

    before = sys.getprofile()
    sys.setprofile(note)
    yield found
    sys.setprofile(before)


def model() -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=itertools.repeat(AIMessage("an answer")))


async def test_a_proposers_call_runs_through_few_modules(profiled: list[tuple[str, str]]) -> None:
    graph = create_moa(proposers=[model()], aggregator=model())
    await graph.ainvoke({"messages": "the first question makes what the process keeps"})
    profiled.clear()
    await graph.ainvoke({"messages": "hi"})
    names = [name for _, name in profiled]
    way = [module for module, _ in profiled[names.index("work") : names.index("gather")]]
    modules = list(dict.fromkeys(way))
    changes = sum(one != other for one, other in itertools.pairwise(way))
    assert {"moa_graph.graph.slot", "moa_graph.models.call", "moa_graph.models.reply.reply"} <= set(modules)
    assert len(modules) <= MODULES, modules
    assert changes <= CHANGES, [module for module, _ in itertools.groupby(way)]
