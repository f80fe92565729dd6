"""The assets that are known, read from `catalog.toml` beside this file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Asset:
    """One file. `name` is its path in the cache and in the asset folder; `sha256` and `size` are of the
    unpacked bytes. `url` None: from the asset folder only. `sha256` None: never fetched unasked."""

    name: str
    licence: str
    url: str | None = None
    sha256: str | None = None
    size: int | None = None
    note: str = ""

    def describe(self) -> str:
        """Everything a user should know before it is downloaded."""
        size = "size unknown" if self.size is None else f"{self.size:,} bytes"
        lines = [
            self.name,
            f"  from    {self.url or 'the asset folder only'}",
            f"  size    {size}",
            f"  sha256  {self.sha256 or 'not known'}",
            f"  licence {self.licence}",
        ]
        return "\n".join([*lines, f"  note    {self.note}"] if self.note else lines)


def catalog() -> tuple[Asset, ...]:
    """Every asset, in the order of the file."""
    data = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return tuple(Asset(**entry) for entry in data["asset"])
