"""The check of a draft by a JSON schema, in this process or as a program of its own.

The program imports nothing of this package, so that it starts in a fraction of a second.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from itertools import islice
from typing import Any
from urllib.parse import unquote

__all__ = ["FAILED", "problems", "steps"]

FAILED = 3
"""The program's exit code for a draft with problems. Python itself ends with 1 after an exception."""

_MOST = 100
"""Problems that are looked for."""

_REPORTED = 20
"""The most problems in the message, the first ones by their place."""


_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_STALLING = ("pattern", "patternProperties", "uniqueItems", "unevaluatedProperties", "unevaluatedItems")


def steps(schema: Mapping[str, Any], text: str) -> float:
    """Return a bound of the steps that a check takes; 0 where they are in proportion to the draft.

    It is infinite for regular expressions, which can take exponential time in which no other thread runs, for
    `uniqueItems`, which takes quadratic time, and for `unevaluated...`, which looks at the parts of a schema a second
    time, at each level of it. References are followed again for every part that leads to them, which may double the
    steps at each level of a schema, or of a draft.

    Args:
        schema: The JSON schema.
        text: The draft.
    """
    whole = json.dumps(schema)
    if any(f'"{keyword}"' in whole for keyword in _STALLING):
        return math.inf
    if not any(f'"{keyword}"' in whole for keyword in _REFERENCES):
        return 0
    try:
        return _parts(schema, schema, {}) * (1 + sum(map(text.count, ",[{")))
    except RecursionError:
        return math.inf


def _parts(schema: Any, part: Any, found: dict[int, float]) -> float:
    """Return the number of parts of a schema when every reference is written out; infinite if that never ends.

    Args:
        schema: The whole schema.
        part: The part to count.
        found: The numbers of counted parts, by id.
    """
    if isinstance(part, list):
        return sum(_parts(schema, each, found) for each in part)
    if not isinstance(part, Mapping):
        return 1 if isinstance(part, bool) else 0
    if id(part) not in found:
        found[id(part)] = math.inf  # for a reference from within
        number: float = 1
        for keyword, value in part.items():
            number += _parts(schema, value, found)
            if keyword in _REFERENCES and isinstance(value, str):
                number += _parts(schema, _target(schema, value), found)
        found[id(part)] = number
    return found[id(part)]


def _target(schema: Any, reference: str) -> Any:
    """Return the part that a reference leads to; the whole schema if it is not a plain path."""
    place = schema
    for step in unquote(reference).removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(place, list) and name.isdecimal() and int(name) < len(place):
            place = place[int(name)]
        elif isinstance(place, Mapping) and name in place:
            place = place[name]
        else:
            return schema
    return place


def problems(schema: Mapping[str, Any], text: str) -> list[str]:
    """Return what is wrong with a JSON text, which may stand in a fence of code."""
    # In the extra `verify`; their absence is an error when the mixture is made.
    import jsonschema
    from referencing import Registry

    body = text.strip()
    if body.startswith("```"):
        body = body.partition("\n")[2].rpartition("```")[0]
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as exc:
        return [f"not JSON: {exc}"]
    validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    errors = validator(schema, registry=Registry()).iter_errors(value)
    # The words of each error repeat the value, which may be large, so that the errors are not kept.
    found = [(list(map(str, each.path)), f"{each.json_path}: {each.message[:300]}") for each in islice(errors, _MOST)]
    return [words for _, words in sorted(found, key=lambda each: each[0])[:_REPORTED]]


def _main() -> int:
    given = json.load(sys.stdin.buffer)
    found = problems(given["schema"], given["text"])
    sys.stderr.buffer.write("\n".join(found).encode("utf-8", "replace"))
    return FAILED if found else 0


if __name__ == "__main__":
    sys.exit(_main())
