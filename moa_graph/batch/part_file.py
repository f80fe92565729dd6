"""The file of a batch's results while they are written: locked, and renamed when it is complete."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from moa_graph.costs.file_lock import try_lock
from moa_graph.errors import ConfigError

__all__ = ["written"]


@contextmanager
def written(part: Path, target: Path) -> Iterator[TextIO]:
    """Yield the emptied `part`, locked. At the end it takes the place of `target`.

    Raises:
        ConfigError: Another run is writing it, or it is not a regular file.
    """
    with _locked(part) as out:
        yield out
        out.flush()
        os.fsync(out.fileno())
        # Before the lock is released: a run that begins now would empty the results. Windows renames no open file.
        if os.name != "nt":
            part.replace(target)
    if os.name == "nt":
        part.replace(target)


def _locked(part: Path) -> TextIO:
    """Return the emptied file, locked until it is closed or this process ends.

    Raises:
        ConfigError: Another run is writing it, or it is not a regular file.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    # In a shared folder, other users can create a symbolic link or a pipe of that name first.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        handle = os.open(part, flags, 0o666)
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.ENXIO):
            raise _not_ours(part) from None
        raise
    file = os.fdopen(handle, "a", encoding="ascii", newline="\n")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        raise _not_ours(part)
    if not try_lock(handle):
        file.close()
        raise ConfigError(f"{part.name}: another run is writing it. Wait for it, or choose another output.")
    if not _is_still(part, handle):
        file.close()
        return _locked(part)
    file.truncate(0)
    return file


def _is_still(part: Path, handle: int) -> bool:
    """Return whether `part` is the open file. Another run may have finished, and renamed it, before it was locked."""
    try:
        return os.path.samestat(part.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _not_ours(part: Path) -> ConfigError:
    return ConfigError(f"{part}: a symbolic link or not a regular file. Remove it, or choose another output.")
