"""The shared assets as the asset folder of a test."""

from pathlib import Path

import pytest


@pytest.fixture
def asset_folder(shared: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """MOA_ASSETS points at the shared assets; the cache is empty."""
    monkeypatch.setenv("MOA_ASSETS", str(shared / "assets"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return shared / "assets"
