"""Benchmark data: downloaded on first use, checked, cached, never bundled.

An asset is taken from the folder that `MOA_ASSETS` names (same layout, plain or ``.gz``), else from the cache, else it
is downloaded from its source. In every case its bytes must have the SHA-256 recorded in the catalogue.
"""

from __future__ import annotations

import hashlib
import io
import os
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from moa_graph.errors import ConfigError, InputError
from moa_graph.evals.data.catalog import Asset, catalog
from moa_graph.evals.data.files import read_bytes, write
from moa_graph.mixture.user_folders import cache_folder

FOLDER = "MOA_ASSETS"
TIMEOUT = 60.0


@dataclass(frozen=True)
class Found:
    """An asset on this disk and its source: "folder", "cache" or "download"."""

    asset: Asset
    path: Path
    source: str


def asset(name: str) -> Asset:
    """Return the asset of this name.

    Raises:
        InputError: It does not exist; the message lists similar names.
    """
    for entry in catalog():
        if entry.name == name:
            return entry
    near = [entry.name for entry in catalog() if name.lower() in entry.name.lower()]
    raise InputError(f"there is no asset {name!r}; similar: {', '.join(near) or 'none (see `moa eval fetch --list`)'}")


def assets_folder() -> Path:
    """Return the folder for downloads of benchmark data."""
    return cache_folder() / "assets"


def present(name: str) -> Found | None:
    """Return the asset if it is already on this disk; its bytes are checked.

    Raises:
        InputError: The bytes differ from the catalogue.
    """
    entry = asset(name)
    folder = os.environ.get(FOLDER)
    places = [(Path(folder), "folder")] if folder else []
    for place, source in [*places, (assets_folder(), "cache")]:
        for path in (place / entry.name, place / f"{entry.name}.gz"):
            if path.is_file():
                _check(entry, read_bytes(path), str(path))
                return Found(entry, path, source)
    return None


def fetch(name: str, *, notify: Callable[[str], None] | None = None, unverified: bool = False) -> Found:
    """Return the asset. It is downloaded if it is not on this disk.

    Args:
        name: The asset.
        notify: Called with address, size, SHA-256 and licence before a download.
        unverified: Whether to accept an asset whose SHA-256 is unknown.

    Raises:
        ConfigError: It cannot be downloaded (no address, no network).
        InputError: The bytes differ from the catalogue.
    """
    if found := present(name):
        return found
    entry = asset(name)
    if entry.url is None or (entry.sha256 is None and not unverified):
        raise ConfigError(way_out(entry))
    if notify:
        notify(entry.describe())
    data = _download(entry)
    if entry.member is not None:
        data = _unpacked(entry, data)
    _check(entry, data, entry.url)
    path = assets_folder() / entry.name
    write(path, data)
    if notify and entry.sha256 is None:
        notify(f"{name}: got {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()} (not verified)")
    return Found(entry, path, "download")


def command(name: str) -> str:
    """Return the command that downloads an asset, quoted for a sentence."""
    return f"`moa eval fetch {name}{'' if asset(name).sha256 else ' --unverified'}`"


def way_out(entry: Asset) -> str:
    """Return why an asset is not downloaded automatically, and how to get it."""
    if entry.url is None:
        return f"{entry.name} cannot be downloaded: {entry.note}. Copy it into the folder that {FOLDER} names."
    return (
        f"{entry.name}: its SHA-256 is unknown, so it is not downloaded automatically. "
        f"Run {command(entry.name)}, or copy it into the folder that {FOLDER} names."
    )


def text(name: str, *, notify: Callable[[str], None] | None = None) -> str:
    """Return the asset's text."""
    return read_bytes(fetch(name, notify=notify).path).decode("utf-8-sig")


def _check(entry: Asset, data: bytes, where: str) -> None:
    digest = hashlib.sha256(data).hexdigest()
    if entry.sha256 is not None and digest != entry.sha256:
        raise InputError(
            f"{where} is not the {entry.name} this version knows: {len(data)} bytes, SHA-256 {digest}; "
            f"expected {entry.size} bytes, {entry.sha256}"
        )


def _unpacked(entry: Asset, archive: bytes) -> bytes:
    """Return the file from its archive. Nothing of other bytes than the catalogue's is unpacked."""
    assert entry.member is not None
    digest = hashlib.sha256(archive).hexdigest()
    if digest != entry.archive_sha256:
        raise InputError(
            f"{entry.url} is not the archive of {entry.name} that this version knows: SHA-256 {digest}; expected "
            f"{entry.archive_sha256}"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            return opened.read(entry.member, pwd=entry.password.encode())
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{entry.url}: {entry.member} cannot be unpacked: {error}") from error


def _download(entry: Asset) -> bytes:
    assert entry.url is not None
    limit = (entry.size or 50_000_000) + 1
    try:
        with urllib.request.urlopen(entry.url, timeout=TIMEOUT) as response:
            return bytes(response.read(limit))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot download {entry.name} from {entry.url}: {error}. "
            f"Without a network, copy the file into a folder and set {FOLDER} to it."
        ) from error
