"""The embedded model's file is one file, however it is named."""

import sys
from pathlib import Path

import pytest

from moa_graph.models.local import files


def test_a_model_under_a_symbolic_link_is_one_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("xllamacpp", "tiny_weights"):
        (tmp_path / "real" / package).mkdir(parents=True)
        (tmp_path / "real" / package / "__init__.py").touch()
    weights = tmp_path / "real" / "tiny_weights" / "tiny.gguf"
    weights.write_bytes(b"GGUF")
    try:
        (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    except OSError:
        pytest.skip("this system does not let a user make symbolic links")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "link"), *sys.path])
    monkeypatch.setitem(files.PACKAGED, "tiny", "tiny_weights")
    files.locate.cache_clear()
    by_link = tmp_path / "link" / "tiny_weights" / "tiny.gguf"
    assert files.locate("tiny") == files.locate(str(by_link)) == weights.resolve()
    files.locate.cache_clear()
