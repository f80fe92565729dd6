"""Files of the user's folder: changed by one process at a time, and written whole or not at all."""

from __future__ import annotations

import errno
import json
import stat
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from moa_graph.cli import main
from moa_graph.cli.home import add_preset
from moa_graph.cli.output import export
from moa_graph.cli.output.export import save, write_text
from moa_graph.costs import file_lock
from moa_graph.costs.file_lock import one_at_a_time, only_run
from moa_graph.errors import ConfigError, InputError
from moa_graph.mixture import confirmations
from moa_graph.models.secrets.trust import Grant, confirm, confirmed, forget

MIXTURE = '{"proposers": ["openai:a"], "aggregator": "openai:b"}'
ANY = Path("any.yaml")


@pytest.fixture(autouse=True)
def own_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def at_once(work: Callable[[int], object], times: int) -> list[object]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, range(times)))


def test_confirmations_that_are_made_at_once_are_all_kept() -> None:
    at_once(lambda n: confirm(None, [Grant("MY_KEY", f"https://h{n}.example")]), 40)
    assert len(confirmed(ANY)) == 40
    at_once(lambda n: forget(None, Grant("MY_KEY", f"https://h{n}.example")), 40)
    assert not confirmed(ANY)


def test_one_of_several_presets_of_a_name_that_are_added_at_once_is_kept(own_home: Path) -> None:
    for n in range(8):
        Path(f"{n}.{'yaml' if n % 2 else 'yml'}").write_text(MIXTURE + "\n" * n)

    def add(n: int) -> bool:
        try:
            add_preset(Path(f"{n}.{'yaml' if n % 2 else 'yml'}"), "mine")
        except InputError:
            return False
        return True

    add_preset(Path("0.yml"), "first")  # what it imports is imported now
    assert sum(map(bool, at_once(add, 8))) == 1
    assert len(list((own_home / "presets").glob("mine.*"))) == 1


def test_a_lock_that_is_not_released_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "_WAIT", 0.02)
    with (
        one_at_a_time(confirmations.trust_file().with_name("trusted.lock")),
        pytest.raises(ConfigError, match=r"trusted.lock: another command has locked it"),
    ):
        confirm(None, [Grant("MY_KEY", "https://h.example")])
    confirm(None, [Grant("MY_KEY", "https://h.example")])


def test_without_locks_confirmations_are_recorded_and_runs_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on network file systems. A second run would pay for the calls of the first."""

    def refused(handle: int) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(file_lock, "try_lock", refused)
    confirm(None, [Grant("MY_KEY", "https://h.example")])
    assert confirmed(ANY)
    with pytest.raises(ConfigError, match="No locks available"), only_run(tmp_path / "run"):
        pass


@pytest.mark.parametrize("damage", ["{", "[]", '{"grants": 5}', "folder", "locked"])
def test_confirmations_that_cannot_be_read_are_not_replaced(
    damage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = confirmations.trust_file()
    file.parent.mkdir(parents=True)
    if damage == "folder":
        file.mkdir()
    else:
        file.write_text(damage)
    if damage == "locked":
        # Root may read every file.
        def denied(path: Path, *args: object, **options: object) -> str:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        monkeypatch.setattr(Path, "read_text", denied)
    assert main(["trust", "--host", "https://h.example", "--variable", "MY_KEY", "--yes"]) == 3
    assert f"{file} cannot be read" in capsys.readouterr().err
    assert file.is_dir() if damage == "folder" else file.read_bytes().decode() == damage


def test_confirmations_behind_a_symbolic_link_stay_there(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    file = confirmations.trust_file()
    file.parent.mkdir(parents=True)
    file.symlink_to(tmp_path / "dotfiles" / "trusted.json")
    confirm(None, [Grant("MY_KEY", "https://h.example")])
    assert file.is_symlink() and json.loads((tmp_path / "dotfiles" / "trusted.json").read_text())["grants"]


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process grow beyond 100 bytes."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_full_disk_leaves_the_file_that_was_there(own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.yaml").write_text(MIXTURE)
    assert main(["presets", "add", "mine.yaml"]) == 0
    confirm(None, [Grant("MY_KEY", "https://h.example")])
    kept, trusted = own_home / "presets" / "mine.yaml", confirmations.trust_file()
    Path("mine.yaml").write_text(MIXTURE + " " * 1_000)
    capsys.readouterr()
    with full_disk():
        codes = [main(["presets", "add", "mine.yaml", "--replace"]), main(["presets", "add", "mine.yaml", "new"])]
        codes += [main(["trust", "--host", "https://other.example", "--variable", "MY_KEY", "--yes"])]
    said = capsys.readouterr().err.splitlines()
    assert codes == [1, 1, 3]
    assert f"{kept}: " in said[0] and f"{kept.with_name('new.yaml')}: " in said[1] and f"{trusted} cannot" in said[2]
    assert [path.read_text() for path in (own_home / "presets").iterdir()] == [MIXTURE]
    assert len(confirmed(ANY)) == 1
    assert {path.name for path in trusted.parent.iterdir()} == {"trusted.json", "trusted.lock"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_full_disk_leaves_the_answer_that_was_saved_before() -> None:
    whole: dict[str, object] = {"answer": "x" * 1_000, "error": None, "drafts": [], "record": None}
    Path("out.md").write_text("before")
    for name in ("out.md", "new.md"):
        with full_disk(), pytest.raises(OSError, match=name):
            save(Path(name), "Why?", whole)
    assert {path.name: path.read_text() for path in Path().glob("*")} == {"out.md": "before"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither these links nor these permissions")
@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_a_saved_answer_keeps_the_link_and_the_permissions_of_its_file(mode: int) -> None:
    Path("real.md").touch()
    Path("real.md").chmod(mode)
    Path("out.md").symlink_to("real.md")
    write_text(Path("out.md"), "after \ud800")
    assert Path("out.md").is_symlink() and Path("real.md").read_text() == "after \\ud800"
    assert stat.S_IMODE(Path("real.md").stat().st_mode) == mode


def test_an_answer_is_saved_where_its_file_can_be_written_and_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write every folder, so the system's refusal of a new file beside it is played.
    def refused(*_arguments: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(export, "write_whole", refused)
    Path("out.md").write_text("before, and longer")
    write_text(Path("out.md"), "after")
    assert Path("out.md").read_text() == "after"
    with pytest.raises(PermissionError, match=r"new\.md"):
        write_text(Path("new.md"), "after")
