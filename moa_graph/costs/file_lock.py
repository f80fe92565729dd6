"""Locks between processes: a second run in one place would pay for the calls that are under way in the first."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moa_graph.errors import ConfigError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["FOLDER_LOCK", "only_run", "try_lock"]

FOLDER_LOCK = "ledger.lock"
"""The file in a run's folder that is locked while the run works there. It stays, empty."""


def try_lock(handle: int) -> bool:
    """Lock an open file until it is closed or the process ends; return whether no other process has locked it.

    Args:
        handle: The descriptor of a file that is open for writing.
    """
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder.

    Raises:
        ConfigError: Another run works there, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / FOLDER_LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        raise ConfigError(f"cannot write into {folder}: {error.strerror}. Choose another --out") from None
    try:
        if not try_lock(handle):
            raise ConfigError(f"{folder}: another run is working there. Wait for it, or choose another --out")
        yield
    finally:
        os.close(handle)
