"""Descriptions of fields in JSON schemas, taken from the `Attributes` of docstrings."""

from __future__ import annotations

import inspect
import re
from functools import cache

__all__ = ["descriptions"]

_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*)$")


@cache
def descriptions(described: type) -> dict[str, str]:
    """Return the text of every attribute that the docstrings of a class and its bases describe."""
    found: dict[str, str] = {}
    for each in described.__mro__:
        for name, text in _attributes(each.__doc__ or "").items():
            found.setdefault(name, text)
    return found


def _attributes(docstring: str) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(docstring).partition("\nAttributes:\n")[2].splitlines():
        if line and not line.startswith(" "):
            break
        if entry := _ATTRIBUTE.match(line):
            name = entry[1]
            found[name] = entry[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return found
