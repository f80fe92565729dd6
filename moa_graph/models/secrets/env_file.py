"""The nearest `.env` file upward from the working directory, as plain data.

Such a file may come with a folder of somebody else's, so it provides API keys and no settings.
"""

from __future__ import annotations

import stat
from functools import lru_cache
from io import StringIO
from pathlib import Path

from moa_graph.errors import ConfigError
from moa_graph.mixture.files import decoded

_MOST = 1_000_000
"""Bytes. A larger file is not a file of variables."""

_MOST_LINES = 10_000
"""Their reading takes a second."""


def from_env_file(name: str) -> str | None:
    """Return the value of a variable in the nearest `.env` file, or None. Reads the file system.

    Raises:
        ConfigError: The file is not text, is too large, or the value refers to another variable.
    """
    path = _nearest()
    if path is None:
        return None
    value = _variables(_text(path)).get(name) or None
    if value and "}" in value.partition("${")[2]:
        # A file must not send one variable's secret to the host of another.
        raise ConfigError(f"{path}: {name} refers to another variable. Write the value itself.")
    return value


@lru_cache(maxsize=1)
def _variables(text: str) -> dict[str, str | None]:
    """Return the variables of a file's text. It is read once for each provider's key, and parsing takes long."""
    # Imported here: it is needed only where a variable is not in the environment.
    from dotenv import dotenv_values

    return dotenv_values(stream=StringIO(text), interpolate=False)


def _nearest() -> Path | None:
    folder = Path.cwd()
    for each in (folder, *folder.parents):
        path = each / ".env"
        try:
            # A pipe of that name would block the reader.
            if stat.S_ISREG(path.stat().st_mode):
                return path
        except OSError:
            continue
    return None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror or exc}.") from exc
    if len(data) > _MOST:
        raise ConfigError(f"{path} is larger than {_MOST:,} bytes. It may hold variables only.")
    try:
        text = decoded(data)
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path} is not {exc.encoding.upper()} text ({exc.reason}). Save it as UTF-8.") from None
    if "\0" in text:
        raise ConfigError(f"{path} is not UTF-8 text. Save it as UTF-8.")
    if max(map(text.count, "\r\n")) > _MOST_LINES:
        raise ConfigError(f"{path} has more than {_MOST_LINES:,} lines. It may hold variables only.")
    return text
