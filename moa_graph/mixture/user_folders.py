"""The user's folders: of the account, of its configuration, of the package and of its downloads."""

from __future__ import annotations

import os
from pathlib import Path

from moa_graph.errors import ConfigError

__all__ = ["account_folder", "cache_folder", "config_folder", "home"]


def account_folder() -> Path:
    """Return the account's home folder; the root folder for an account without one, as containers have."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def config_folder() -> Path:
    """Return the package's folder in the user's configuration folder; it may not exist."""
    base = os.environ.get("XDG_CONFIG_HOME") or (os.environ.get("APPDATA") if os.name == "nt" else None)
    return (Path(base) if base else account_folder() / ".config") / "moa_graph"


def home() -> Path:
    """Return the user's own folder: the variable MOA_HOME, or `config_folder`.

    Raises:
        ConfigError: MOA_HOME begins with `~`, and that home folder is unknown.
    """
    if given := os.environ.get("MOA_HOME"):
        try:
            return Path(given).expanduser()
        except RuntimeError:
            raise ConfigError(f"MOA_HOME ({given}): this home folder is unknown. Write the whole path.") from None
    return config_folder()


def cache_folder() -> Path:
    """Return the package's folder for downloads; it may not exist."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else account_folder() / ".cache") / "moa_graph"
