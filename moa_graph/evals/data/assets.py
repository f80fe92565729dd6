"""Benchmark data: downloaded on first use, checked, cached, never bundled.

An asset is found in the folder that `MOA_ASSETS` names (same layout, plain or ``.gz``), else in the cache,
else it is downloaded from its own source. Whatever way it comes, its bytes must have the SHA-256 that is
written down here.
"""

from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from moa_graph.errors import ConfigError, InputError
from moa_graph.evals.data.catalog import Asset, catalog
from moa_graph.evals.data.files import read_bytes, write

FOLDER = "MOA_ASSETS"
TIMEOUT = 60.0


@dataclass(frozen=True)
class Found:
    """An asset on this disk, and how it got there: "folder", "cache" or "download"."""

    asset: Asset
    path: Path
    source: str


def asset(name: str) -> Asset:
    """The asset of this name. Raises InputError listing near names."""
    for entry in catalog():
        if entry.name == name:
            return entry
    near = [entry.name for entry in catalog() if name.lower() in entry.name.lower()]
    raise InputError(f"there is no asset {name!r}; near: {', '.join(near) or 'none (see `moa eval fetch --list`)'}")


def cache_folder() -> Path:
    """Where downloads are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "moa_graph" / "assets"


def present(name: str) -> Found | None:
    """The asset if it is on this disk already, checked. Raises InputError when its bytes are other ones."""
    entry = asset(name)
    folder = os.environ.get(FOLDER)
    places = [(Path(folder), "folder")] if folder else []
    for place, source in [*places, (cache_folder(), "cache")]:
        for path in (place / entry.name, place / f"{entry.name}.gz"):
            if path.is_file():
                _check(entry, read_bytes(path), str(path))
                return Found(entry, path, source)
    return None


def fetch(name: str, *, tell: Callable[[str], None] | None = None, unverified: bool = False) -> Found:
    """The asset, downloaded when it is not here yet. `tell` is told address, size, SHA-256 and licence
    before.

    Raises ConfigError when it cannot be downloaded (no address, no network) and InputError when the bytes
    differ from what is written down. An asset whose SHA-256 is not known needs `unverified`.
    """
    if found := present(name):
        return found
    entry = asset(name)
    if entry.url is None or (entry.sha256 is None and not unverified):
        raise ConfigError(way_out(entry))
    if tell:
        tell(entry.describe())
    data = _download(entry)
    _check(entry, data, entry.url)
    path = cache_folder() / entry.name
    write(path, data)
    if tell and entry.sha256 is None:
        tell(f"{name}: got {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()} (not verified)")
    return Found(entry, path, "download")


def command(name: str) -> str:
    """The command that gets an asset, as a sentence names it."""
    return f"`moa eval fetch {name}{'' if asset(name).sha256 else ' --unverified'}`"


def way_out(entry: Asset) -> str:
    """Why an asset is not downloaded unasked, and how it is had all the same."""
    if entry.url is None:
        return f"{entry.name} cannot be downloaded: {entry.note}. Put it into the folder {FOLDER} names."
    return (
        f"{entry.name}: its SHA-256 is not known, so it is not downloaded by itself. "
        f"Run {command(entry.name)}, or put it into the folder {FOLDER} names."
    )


def text(name: str, *, tell: Callable[[str], None] | None = None) -> str:
    """The asset's text."""
    return read_bytes(fetch(name, tell=tell).path).decode("utf-8-sig")


def _check(entry: Asset, data: bytes, where: str) -> None:
    digest = hashlib.sha256(data).hexdigest()
    if entry.sha256 is not None and digest != entry.sha256:
        raise InputError(
            f"{where} is not the {entry.name} this version knows: {len(data)} bytes, SHA-256 {digest}; "
            f"expected {entry.size} bytes, {entry.sha256}"
        )


def _download(entry: Asset) -> bytes:
    assert entry.url is not None
    limit = (entry.size or 50_000_000) + 1
    try:
        with urllib.request.urlopen(entry.url, timeout=TIMEOUT) as response:
            return bytes(response.read(limit))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot download {entry.name} from {entry.url}: {error}. "
            f"Without a network, put the file into a folder and name that in {FOLDER}."
        ) from error
