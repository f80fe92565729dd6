"""Write a file whole or not at all: after a full disk or a kill, what was there is unchanged."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Replace a file in one step, so that nobody ever reads half of it. A symbolic link is replaced, not followed.

    Args:
        path: The file. Its folder exists.
        data: The new content.
        mode: The permissions of the file, less those that the process's umask takes away.

    Raises:
        OSError: The file cannot be written. The error names it.
    """
    part = path.with_name(f".moa-{secrets.token_hex(8)}.tmp")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(handle)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as exc:
        exc.filename = str(path)
        raise
