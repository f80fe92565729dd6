"""The shared assets as the asset folder of a test."""

from pathlib import Path

import pytest

from tests.evals import bench


@pytest.fixture
def asset_folder(shared: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """MOA_ASSETS points at the shared assets; the cache is empty."""
    monkeypatch.setenv("MOA_ASSETS", str(shared / "assets"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return shared / "assets"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small benchmarks as the asset folder, no keys, and an own working folder for the test."""
    bench.small_assets(tmp_path / "assets", monkeypatch)
    for name in ("OPENAI_API_KEY", "LANGSMITH_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
