"""Mixture files: the presets that come with the package, and YAML or TOML files of users."""

from __future__ import annotations

import codecs
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moa_graph.errors import ConfigError
from moa_graph.mixture.safe_yaml import MAX_DEPTH, check_depth, load_yaml

_PRESETS = Path(__file__).parent / "presets"
_SUFFIXES = frozenset({".yaml", ".yml", ".toml"})
_MOST_BYTES = 1_000_000


def preset_names() -> list[str]:
    """Return the presets' names, sorted."""
    # `langgraph dev` refuses the scan of a folder, as by pathlib, in async nodes and in factories of graphs.
    files = os.listdir(_PRESETS)  # noqa: PTH208
    return sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml"))


def preset_path(name: str) -> Path:
    """Return the path of the preset's data file.

    Raises:
        ConfigError: The preset does not exist.
    """
    if name not in preset_names():
        raise ConfigError(
            f"preset {name!r} is unknown. Presets: {', '.join(preset_names())}. "
            "A mixture file of your own is named with its ending, .yaml, .yml or .toml."
        )
    return _PRESETS / f"{name}.yaml"


def is_preset(source: str | Path) -> bool:
    """Return whether the source is a preset's name and not a file's path."""
    return Path(source).suffix.lower() not in _SUFFIXES


_FIELDS = "`proposers:` and `aggregator:`"


def read(source: str | Path, *, what: str = "mixture", fields: str = _FIELDS) -> dict[str, Any]:
    """Return the fields in a preset (by name) or in a YAML or TOML file (by path).

    Args:
        source: The preset or the file.
        what: What messages call the file.
        fields: The fields that messages name as an example.

    Raises:
        ConfigError: The preset or file does not exist, does not parse to named fields, or exceeds a limit: larger
            than 1 MB, nested deeper than 50 levels, or with aliases that expand without end.
    """
    path = preset_path(str(source)) if is_preset(source) else Path(source)
    called = f"{what} file {path}"
    found = _parse(text_of(path, called), path, called)
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        given = "is empty" if found is None else f"has {_KINDS.get(type(found), 'a single value')}"
        raise ConfigError(f"{called}: expected named fields such as {fields}; the file {given}.")
    return dict(found)


_KINDS: Mapping[type, str] = {list: "a list", dict: "a field whose name is not text"}


def text_of(path: Path, called: str) -> str:
    """Return the text of a mixture file.

    Args:
        path: The file.
        called: What messages call it.

    Raises:
        ConfigError: It cannot be read, is not a regular file, is too large, or is not text.
    """
    try:
        # Without waiting: opening a named pipe would block until somebody writes to it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ConfigError(f"{called}: not a regular file.")
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ConfigError(f"{called}: larger than {_MOST_BYTES:,} bytes.")
        return decoded(data)
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{called} is not {exc.encoding.upper()} text ({exc.reason}). Save it as UTF-8.") from None
    except (OSError, ValueError) as exc:  # not a name that a file can have
        raise ConfigError(f"{called}: {getattr(exc, 'strerror', None) or exc}.") from exc


_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def decoded(data: bytes) -> str:
    """Return UTF-8 text, or UTF-16 text with its mark, as PowerShell writes with `>`.

    Raises:
        UnicodeDecodeError: It is neither.
    """
    return data.decode(next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8"))


_LONG_KEY = re.compile(rf"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){{{MAX_DEPTH}}}""")
"""TOML's parser takes quadratic time for the parts of a dotted key: minutes for 100 kB of them."""


def _parse(text: str, path: Path, called: str) -> Any:
    try:
        if path.suffix.lower() == ".toml":
            if _LONG_KEY.search(text):
                raise ConfigError(f"{called}: a dotted key of more than {MAX_DEPTH} parts.")
            fields: Any = tomllib.loads(text)
            check_depth(fields)
            return fields
        return load_yaml(text)
    except RecursionError:
        raise ConfigError(f"{called}: nested too deeply.") from None
    except ValueError as exc:  # TOML's and YAML's own errors, and values such as numbers of 5,000 digits
        raise ConfigError(f"{called}: {' '.join(str(exc).split())}") from exc
