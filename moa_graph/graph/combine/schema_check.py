"""The check of a draft by a JSON schema, in this process or as a program of its own.

The program imports nothing of this package, so that it starts in a fraction of a second.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from itertools import islice
from typing import Any

__all__ = ["FAILED", "may_stall", "problems"]

FAILED = 3
"""The program's exit code for a draft with problems. Python itself ends with 1 after an exception."""

_MOST = 100
"""Problems that are looked for."""

_REPORTED = 20
"""The most problems in the message, the first ones by their place."""


def may_stall(schema: Mapping[str, Any]) -> bool:
    """Return whether a short draft may keep the check busy for very long.

    Regular expressions can take exponential time, in which no other thread runs, and `uniqueItems` quadratic time.
    """
    text = json.dumps(schema)
    return any(f'"{keyword}"' in text for keyword in ("pattern", "patternProperties", "uniqueItems"))


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
