"""The assets that are known, read from `catalog.toml` beside this file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Asset:
    """One file.

    Attributes:
        name: Its path in the cache and in the asset folder.
        licence: Its licence.
        url: Its address; None if it is only taken from the asset folder.
        sha256: SHA-256 of the unpacked bytes; None if unknown, then it is never downloaded automatically.
        member: Its name in the zip archive at `url`; None if `url` is the file itself.
        archive_sha256: SHA-256 of the archive.
        password: The archive's password, which its authors publish beside it.
        size: Size of the unpacked bytes.
        note: A remark for the user.
    """

    name: str
    licence: str
    url: str | None = None
    sha256: str | None = None
    size: int | None = None
    note: str = ""
    member: str | None = None
    archive_sha256: str | None = None
    password: str = ""

    def describe(self) -> str:
        """Return the details that a user should know before the download."""
        size = "size unknown" if self.size is None else f"{self.size:,} bytes"
        lines = [
            self.name,
            f"  from    {self.url or 'the asset folder only'}",
            f"  size    {size}",
            f"  sha256  {self.sha256 or 'unknown'}",
            *([f"  archive {self.member}, SHA-256 of the archive {self.archive_sha256}"] if self.member else []),
            f"  licence {self.licence}",
        ]
        return "\n".join([*lines, f"  note    {self.note}"] if self.note else lines)


def catalog() -> tuple[Asset, ...]:
    """Return all assets, in the order of the file."""
    data = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return tuple(Asset(**entry) for entry in data["asset"])
