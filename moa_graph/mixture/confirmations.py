"""What the user confirmed for mixture files: hosts that get keys, and programs that check drafts. One JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from moa_graph.errors import ConfigError
from moa_graph.mixture.user_folders import config_folder
from moa_graph.mixture.whole_file import write_whole

__all__ = ["ANY_FILE", "Confirmations", "name_of", "read", "trust_file", "write"]

ANY_FILE = "*"
"""Stands for all files."""


class Confirmations(NamedTuple):
    """What was confirmed, by the resolved path of the mixture file.

    Attributes:
        grants: Variables with the hosts that may get their values.
        programs: Programs that a check may run, as `CommandCheck.program` writes them.
    """

    grants: dict[str, list[tuple[str, str]]]
    programs: dict[str, list[str]]


def name_of(path: Path | None) -> str:
    """Return the name of a file in the confirmations; None stands for any file."""
    return ANY_FILE if path is None else str(path.resolve())


def trust_file() -> Path:
    """Return the path of the file of confirmations."""
    return config_folder() / "trusted.json"


def read(*, to_change: bool = False) -> Confirmations:
    """Return what was confirmed. A file that does not exist, or may not be read, confirms nothing.

    Args:
        to_change: Refuse a file that may not be read: `write` would replace what it confirms.

    Raises:
        ConfigError: The file is damaged.
    """
    path = trust_file()
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        grants = {str(name): [(str(v), str(h)) for v, h in pairs] for name, pairs in entries["grants"].items()}
        programs = {str(name): [str(text) for text in texts] for name, texts in entries.get("programs", {}).items()}
    except FileNotFoundError:
        return Confirmations({}, {})
    except PermissionError as exc:
        if not to_change:
            return Confirmations({}, {})
        raise ConfigError(f"{path} cannot be read: {exc.strerror}. XDG_CONFIG_HOME names another folder.") from exc
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise ConfigError(
            f"{path} cannot be read ({type(exc).__name__}). Remove it and run `moa trust` again."
        ) from exc
    return Confirmations(grants, programs)


def write(confirmed: Confirmations) -> None:
    """Write the file, whole or not at all: a concurrent reader must not see half of it.

    Raises:
        ConfigError: The folder cannot be written.
    """
    path = trust_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = json.dumps({"version": 1, **confirmed._asdict()}, indent=2, sort_keys=True)
        # Through a symbolic link, as to a folder of settings under version control.
        write_whole(path.resolve(), text.encode(), mode=0o600)
    except OSError as exc:
        raise ConfigError(
            f"{path} cannot be written: {exc.strerror or exc}. XDG_CONFIG_HOME names another folder."
        ) from exc
