"""Locks between processes: a second run in one place would pay for the calls that are under way in the first."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from moa_graph.errors import ConfigError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["FOLDER_LOCK", "one_at_a_time", "only_run", "try_lock"]

FOLDER_LOCK = "ledger.lock"
"""The file in a run's folder that is locked while the run works there. It stays, empty."""

_WAIT, _LOOK = 10.0, 0.01
"""Seconds to wait for another process that changes a file of the user's folder, and between two attempts."""


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
        held = _locked(folder / FOLDER_LOCK)
    except BlockingIOError:
        raise ConfigError(f"{folder}: another run is working there. Wait for it, or choose another --out") from None
    except OSError as error:
        raise ConfigError(f"cannot write into {folder}: {error.strerror}. Choose another --out") from None
    with held:
        yield


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Wait until no other process is in such a block with the same file.

    Where no lock can be made, as on file systems without locks, the block runs all the same.

    Args:
        path: The file that is locked. It is made with its folder, and stays, empty.

    Raises:
        ConfigError: Another process does not end its block.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        held: AbstractContextManager[object] = _locked(path, wait=_WAIT)
    except BlockingIOError:
        raise ConfigError(f"{path}: another command has locked it for {_WAIT:.0f} s. End it, and try again") from None
    except OSError:
        held = nullcontext()
    with held:
        yield


def _locked(path: Path, *, wait: float = 0.0) -> BinaryIO:
    """Return a file that is locked until it is closed. It is made if it is missing.

    Args:
        path: The file.
        wait: Seconds to wait for another process.

    Raises:
        BlockingIOError: Another process has locked it.
        OSError: It cannot be made, or its file system has no locks.
    """
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666), "r+b")
    try:
        end = time.monotonic() + wait
        while not try_lock(file.fileno()):
            if time.monotonic() >= end:
                raise BlockingIOError(errno.EWOULDBLOCK, "another process has locked it")
            time.sleep(_LOOK)
    except BaseException:
        file.close()
        raise
    return file
