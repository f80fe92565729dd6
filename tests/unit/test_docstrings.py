"""Documented functions and classes describe their parameters in Google-style sections."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pydoc
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

import moa_graph

HOMES = (
    "moa_graph",
    "moa_graph.batch",
    "moa_graph.evals.stats",
    "moa_graph.evals.tune",
    "moa_graph.models.local",
    "moa_graph.state",
)
"""Modules whose `__all__` is documented."""


def documented() -> Iterator[tuple[str, Any]]:
    """Yield the name and the object of every documented function, class and method with parameters."""
    for home in HOMES:
        if home.startswith("moa_graph.evals") and importlib.util.find_spec("numpy") is None:
            continue  # the quick tests also run where the extra `eval` is not installed
        module = importlib.import_module(home)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value):
                yield f"{home}.{name}", value
            elif inspect.isclass(value) and value.__module__.startswith("moa_graph"):
                yield f"{home}.{name}", value
                yield from ((f"{home}.{name}.{each}", method) for each, method in own_methods(value))


def own_methods(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods that the class itself defines, except those that LangChain or LangGraph describes."""
    for name, value in vars(kind).items():
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        inherited = any(name in vars(base) for base in kind.__mro__[1:])
        if inspect.isfunction(function) and not name.startswith("_") and not inherited:
            yield name, function


def parameters(value: Any) -> list[str]:
    """Return the names of the parameters that a caller gives."""
    function = vars(value).get("__init__") if inspect.isclass(value) else value
    if not inspect.isfunction(function) or function.__module__.partition(".")[0] != "moa_graph":
        return []
    given = inspect.signature(function).parameters.values()
    # Fields by keyword are described under "Attributes".
    fields = inspect.isclass(value) and issubclass(value, BaseModel)
    return [
        each.name
        for each in given
        if each.name not in ("self", "cls") and not (fields and each.kind is each.VAR_KEYWORD)
    ]


ALL = dict(documented())


@pytest.mark.parametrize("name", ALL)
def test_a_documented_name_describes_its_parameters(name: str) -> None:
    text = inspect.getdoc(ALL[name]) or ""
    assert text.strip(), "it has no docstring"
    section = text.partition("Args:")[2] + text.partition("Attributes:")[2]
    missing = [each for each in parameters(ALL[name]) if f"{each}:" not in section]
    assert missing == []


def test_the_help_of_create_moa_is_readable() -> None:
    """`help(create_moa)` fits a terminal, and names every parameter, what is returned and what is raised."""
    text = pydoc.plain(pydoc.render_doc(moa_graph.create_moa))
    assert all(len(line) <= 130 for line in text.splitlines()[3:])
    assert all(f"{section}:" in text for section in ("Args", "Returns", "Raises", "Examples"))
