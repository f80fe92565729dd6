"""An unsupported release of the embedded runtime gives one clear error."""

from pathlib import Path

import pytest

from moa_graph.errors import ConfigError
from moa_graph.models.local import runtime

xllamacpp = pytest.importorskip("xllamacpp")


class _Renamed:
    """Parameters of a release in which one that this package sets is missing."""

    __slots__ = ("cpuparams", "cpuparams_batch", "model")

    def __init__(self) -> None:
        self.model = self.cpuparams = self.cpuparams_batch = type("Part", (), {})()


def test_an_unsupported_release_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xllamacpp, "CommonParams", _Renamed)
    with pytest.raises(ConfigError, match=r"xllamacpp \d.*n_ctx.*pip install 'moa_graph\[local\]'"):
        runtime._load(Path("model.gguf"), "key")
