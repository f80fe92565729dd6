"""The checks that `verify` takes: a Python callable, a command, or a JSON schema."""

from __future__ import annotations

import importlib.util
import inspect
import shlex
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, PlainSerializer, Tag, WithJsonSchema

from moa_graph.errors import ConfigError
from moa_graph.mixture import confirmations
from moa_graph.mixture.proposer import Origin, reading
from moa_graph.mixture.validation import Checked, collected
from moa_graph.state.value_text import given

__all__ = ["Check", "CommandCheck", "SchemaCheck"]


class CommandCheck(Checked):
    """A program that gets the draft on standard input. Exit code 0 passes; standard error says what is wrong.

    Attributes:
        command: The program and its arguments. No shell is involved.
        seconds: How long it may run.
        environment: Names of environment variables that it gets besides PATH, HOME, TMPDIR and the locale.
    """

    called = "combine.check"

    command: Annotated[list[str], Field(min_length=1)]
    seconds: float = Field(default=30.0, gt=0, le=3_600)
    environment: list[str] = Field(default_factory=list)

    def _check_whole(self) -> None:
        origin = reading.get(Origin())
        if origin.path is None or origin.trusted:
            return
        if self.program not in confirmations.read().programs.get(confirmations.name_of(origin.path), ()):
            raise ConfigError(
                f"combine.check: {origin.path.name} wants to run the program {self.command[0]!r} on this machine, and "
                f"nobody confirmed that. If you trust the file, run: moa trust {origin.path} (or add --trust for one "
                "run; in Python: Mixture.load(file, trust=True))."
            )

    @property
    def program(self) -> str:
        """What the user confirms: the command, and the environment variables that it gets."""
        return " ".join((shlex.join(self.command), *(f"with ${name}" for name in sorted(self.environment))))


class SchemaCheck(Checked):
    """The draft must be JSON of this schema. Needs the extra `verify`.

    Attributes:
        json_schema: The JSON schema. References to other addresses are not followed.
    """

    called = "combine.check"

    json_schema: dict[str, Any]

    def _check_whole(self) -> None:
        if not importlib.util.find_spec("jsonschema"):
            raise ConfigError(
                "combine.check: json_schema needs jsonschema. Install it: pip install 'moa_graph[verify]'"
            )
        from jsonschema import Draft202012Validator, SchemaError
        from jsonschema.validators import validator_for

        try:
            validator_for(self.json_schema, default=Draft202012Validator).check_schema(self.json_schema)
        except SchemaError as exc:
            raise ConfigError(f"combine.check.json_schema: not a JSON schema ({exc.message[:200]}).") from None


def _name_of(check: Any) -> str:
    return f"{getattr(check, '__module__', '')}.{getattr(check, '__qualname__', type(check).__name__)}"


Function = Annotated[
    Callable[..., Any],
    PlainSerializer(_name_of, return_type=str),
    WithJsonSchema({"type": "string", "description": "A Python callable, in code only."}),
]


_KINDS = {"command": CommandCheck, "json_schema": SchemaCheck}


def _kind_of(check: Any) -> str:
    for name, kind in _KINDS.items():
        if isinstance(check, kind) or (isinstance(check, Mapping) and name in check):
            return name
    return "function"


def _is_check(check: Any) -> Any:
    if not callable(check) and _kind_of(check) == "function":
        raise ConfigError(
            f"expected {{command: [...]}}, {{json_schema: {{...}}}} or a Python function, got {given(check)}."
        )
    if callable(check):
        _require_signature(check)
    return check


def _require_signature(check: Callable[..., Any]) -> None:
    """Refuse a callable that cannot take a conversation and a text: it would fail on every draft."""
    try:
        signature = inspect.signature(check)
    except (TypeError, ValueError):
        return  # Python cannot tell
    try:
        signature.bind(None, None)
    except TypeError:
        raise ConfigError(f"it must take (messages, text); {signature} does not.") from None


_Any = Annotated[
    Annotated[CommandCheck, Tag("command")]
    | Annotated[SchemaCheck, Tag("json_schema")]
    | Annotated[Function, Tag("function")],
    Discriminator(_kind_of),
]
Check = Annotated[_Any, BeforeValidator(collected(_is_check), json_schema_input_type=_Any)]
"""How a draft is checked."""
