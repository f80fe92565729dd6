"""Mixtures as files: the presets that come with the package, and YAML or TOML of one's own."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moa_graph.errors import ConfigError

_PRESETS = Path(__file__).parent / "presets"
_SUFFIXES = frozenset({".yaml", ".yml", ".toml"})


def preset_names() -> list[str]:
    """The presets' names, sorted."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def preset_path(name: str) -> Path:
    """The preset's data file.

    Raises:
        ConfigError: there is no such preset.
    """
    if name not in preset_names():
        raise ConfigError(
            f"preset {name!r} is unknown. Presets: {', '.join(preset_names())}. "
            "A mixture file of your own is named with its ending, .yaml, .yml or .toml."
        )
    return _PRESETS / f"{name}.yaml"


def read(source: str | Path) -> dict[str, Any]:
    """The fields in a preset (by name) or in a YAML or TOML file (by path).

    Raises:
        ConfigError: there is no such preset or file, or it does not parse to named fields.
    """
    path = Path(source)
    if path.suffix.lower() not in _SUFFIXES:
        path = preset_path(str(source))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:  # no text, or no name that a file can have
        raise ConfigError(f"mixture file {path}: {getattr(exc, 'strerror', None) or exc}.") from exc
    fields = _parse(text, path)
    if not isinstance(fields, Mapping) or not all(isinstance(key, str) for key in fields):
        raise ConfigError(f"mixture file {path}: expected named fields such as `proposers:` and `aggregator:`.")
    return dict(fields)


def _parse(text: str, path: Path) -> Any:
    # Imported here: a graph made from names needs no YAML.
    import yaml

    try:
        return tomllib.loads(text) if path.suffix.lower() == ".toml" else yaml.safe_load(text)
    except (yaml.YAMLError, tomllib.TOMLDecodeError) as exc:
        raise ConfigError(f"mixture file {path}: {' '.join(str(exc).split())}") from exc
