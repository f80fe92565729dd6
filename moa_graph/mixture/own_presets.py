"""The user's own presets: mixture files in the folder `presets` of the user's folder."""

from __future__ import annotations

import os
from pathlib import Path

from moa_graph.errors import ConfigError
from moa_graph.mixture.user_folders import home

__all__ = ["own_presets", "resolve"]


def own_presets() -> dict[str, Path]:
    """Return the user's own mixtures by name; none where this process may not read the folder."""
    folder = home() / "presets"
    try:
        # `langgraph dev` refuses the scan of a folder, as by pathlib, in async nodes and in factories of graphs.
        paths = [folder / name for name in sorted(os.listdir(folder))]  # noqa: PTH208
    except (PermissionError, FileNotFoundError, NotADirectoryError):
        return {}
    return {path.stem: path for path in paths if path.suffix in (".yaml", ".yml", ".toml")}


def resolve(name: str) -> str | Path:
    """Return the file of the user's own preset `name`, or `name` itself, which may be a preset of the package.

    Raises:
        ConfigError: Nothing has that name, and the user has presets that could be meant.
    """
    from moa_graph.mixture.files import is_preset, preset_names

    own = own_presets()
    if name in own or not own or not is_preset(name) or name in preset_names():
        return own.get(name, name)
    raise ConfigError(
        f"preset {name!r} is unknown. Your own: {', '.join(own)}. The package's: {', '.join(preset_names())}."
    )
