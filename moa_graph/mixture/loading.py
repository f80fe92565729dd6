"""Mixtures from presets and files, with errors that show the line of the file."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from moa_graph.errors import ConfigError
from moa_graph.mixture.files import is_preset, preset_names, read
from moa_graph.mixture.own_presets import resolve
from moa_graph.mixture.problems import explained
from moa_graph.mixture.proposer import Origin, reading
from moa_graph.mixture.validation import Checked

__all__ = ["from_file"]

M = TypeVar("M", bound=Checked)


def from_file(cls: type[M], source: Path, *, trust: bool) -> M:
    """Return the mixture in a preset or a file.

    Args:
        cls: The class of mixtures.
        source: A preset's name, the package's or the user's own, or the path of a YAML or TOML file.
        trust: Let the file send any variable that it names to any host that it names.

    Raises:
        ConfigError: Names the file, the line, the reason and the way out.
    """
    if is_preset(source) and str(source) not in preset_names():
        source = Path(resolve(str(source)))
    given = read(source)
    token = reading.set(Origin() if is_preset(source) else Origin(_absolute(source), trust))
    try:
        return cls(**given)
    except ConfigError as exc:
        if is_preset(source):
            raise
        raise explained(source, given, lambda fields: cls(**fields), exc) from None
    finally:
        reading.reset(token)


def _absolute(path: Path) -> Path:
    # `langgraph dev` refuses `os.getcwd`, which pathlib calls, in async factories of graphs.
    return path if path.is_absolute() else Path(import_module(os.name).getcwd(), path)
