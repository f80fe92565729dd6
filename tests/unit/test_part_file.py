"""The file of a batch's results: another run that begins as this one ends neither empties nor shares it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from moa_graph.batch import part_file
from moa_graph.batch.part_file import written
from moa_graph.costs.file_lock import try_lock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows renames no open file")


def test_a_file_that_was_finished_before_it_is_locked_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other run ends after this one has opened the file, and before it locks the file."""
    part, target = tmp_path / "out.part", tmp_path / "out"
    part.write_text("of the other run")

    def ends_first(handle: int) -> bool:
        if not target.exists():
            part.replace(target)
        return try_lock(handle)

    monkeypatch.setattr(part_file, "try_lock", ends_first)
    with written(part, target) as out:
        assert target.read_text() == "of the other run"
        out.write("of this run")
    assert target.read_text() == "of this run" and not part.exists()


def test_the_file_is_locked_until_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part, target = tmp_path / "out.part", tmp_path / "out"
    locked = list[bool]()
    replace = Path.replace

    def looks(self: Path, other: Path) -> Path:
        handle = os.open(self, os.O_WRONLY)
        locked.append(not try_lock(handle))
        os.close(handle)
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", looks)
    with written(part, target) as out:
        out.write("answers")
    assert locked == [True] and target.read_text() == "answers"
