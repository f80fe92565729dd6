"""Assets: from the folder, from the cache, or downloaded; never used if their bytes differ from the catalogue."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from moa_graph.cli.eval import recorded as eval_recorded
from moa_graph.errors import ConfigError, InputError
from moa_graph.evals.data import assets
from moa_graph.evals.data.catalog import Asset, catalog
from tests.evals.bench import moa

BODY = b"data of the benchmark\n"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/file" else 404)
        self.end_headers()
        if self.path == "/file":
            self.wfile.write(BODY)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A loopback source, an empty cache and a catalogue with two files of that source."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    right, wrong = hashlib.sha256(BODY).hexdigest(), "0" * 64
    entries = (
        Asset("a/right.txt", "free", f"{url}/file", right, len(BODY)),
        Asset("a/wrong.txt", "free", f"{url}/file", wrong, len(BODY)),
        Asset("a/absent.txt", "free", f"{url}/absent", right, len(BODY)),
        Asset("a/unknown.txt", "free", f"{url}/file"),
        Asset("a/folder.txt", "free", sha256=right, note="derived"),
    )
    monkeypatch.setattr(assets, "catalog", lambda: entries)
    monkeypatch.setattr(eval_recorded, "catalog", lambda: entries)
    monkeypatch.delenv("MOA_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield url
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_account_without_a_home_folder_has_a_cache(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert moa("fetch", "--list") == 0
    assert assets.assets_folder() == Path("/.cache/moa_graph/assets")


def test_a_download_is_shown_checked_and_cached(source: str) -> None:
    told: list[str] = []
    found = assets.fetch("a/right.txt", notify=told.append)
    assert found.source == "download"
    assert found.path.read_bytes() == BODY
    assert source in told[0]
    assert found.asset.sha256 is not None
    assert found.asset.sha256 in told[0]
    assert "22 bytes" in told[0]
    assert "licence free" in told[0]
    assert assets.fetch("a/right.txt", notify=told.append).source == "cache"
    assert len(told) == 1


def test_other_bytes_are_refused_and_not_kept(source: str) -> None:
    with pytest.raises(InputError, match="is not the a/wrong"):
        assets.fetch("a/wrong.txt")
    assert assets.present("a/wrong.txt") is None
    cached = assets.fetch("a/right.txt").path
    cached.write_bytes(b"changed")
    with pytest.raises(InputError, match="is not the a/right"):
        assets.fetch("a/right.txt")


def test_a_failed_download_says_what_to_do(source: str) -> None:
    for name in ("a/absent.txt", "a/folder.txt"):
        with pytest.raises(ConfigError, match="MOA_ASSETS"):
            assets.fetch(name)


def test_an_unknown_digest_is_never_fetched_unasked(source: str) -> None:
    with pytest.raises(ConfigError, match="--unverified"):
        assets.fetch("a/unknown.txt")
    told: list[str] = []
    assert assets.fetch("a/unknown.txt", unverified=True, notify=told.append).source == "download"
    assert hashlib.sha256(BODY).hexdigest() in told[-1]


def test_a_folder_brings_what_can_be_had_and_names_the_rest(
    source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Assets that cannot be downloaded do not cause a failure, at any place in the list; a failed download does."""
    broken = ("a/wrong.txt", "a/absent.txt")
    entries = assets.catalog()[::-1]
    monkeypatch.setattr(eval_recorded, "catalog", lambda: [e for e in entries if e.name not in broken])
    assert moa("fetch", "a") == 0
    told = capsys.readouterr().err
    assert (
        "left out: a/folder.txt cannot be downloaded: derived. Copy it into the folder that MOA_ASSETS names." in told
    )
    assert "left out: a/unknown.txt" in told
    assert "`moa eval fetch a/unknown.txt --unverified`" in told
    assert assets.present("a/right.txt")
    assert moa("fetch", "a", "--unverified") == 0
    assert assets.present("a/unknown.txt")
    monkeypatch.setattr(eval_recorded, "catalog", lambda: entries)
    for arguments in (("a/",), ()):
        assert moa("fetch", *arguments) == 1
        assert "missing 2 of 5 files: a/absent.txt, a/wrong.txt" in capsys.readouterr().err
    # If it is requested by name, it is an error.
    assert moa("fetch", "a/folder.txt") == 3
    assert moa("fetch", "a/wrong.txt") == 2
    assert moa("fetch", "a", "typo") == 2
    assert "no asset starts with typo" in capsys.readouterr().err


def test_what_needs_a_missing_file_names_the_command_that_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gamed baselines of the length control, and the published table of judges."""
    monkeypatch.delenv("MOA_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    texts = {"output_1": "x", "output_2": "y"}
    (tmp_path / "a.json").write_text(json.dumps([{**texts, "instruction": "i", "preference": 2}]))
    assert moa("alpaca", "--annotations", tmp_path / "a.json", "--json") == 0
    note = json.loads(capsys.readouterr().out)["length_controlled_note"]
    assert "`moa eval fetch alpaca_eval/df_gamed.csv --unverified`" in note
    votes = [{**texts, "instruction": f"i{n}", "preference": 1} for n in (1, 1, 2, 2)]
    (tmp_path / "votes.json").write_text(json.dumps(votes))
    files = ("--humans", tmp_path / "votes.json", "--judge", tmp_path / "votes.json")
    assert moa("judge", *files, "--out", tmp_path / "page") == 0
    wanted = "`moa eval fetch meta_eval/alpaca_eval_evaluators_leaderboard.csv`"
    assert wanted in capsys.readouterr().err
    assert wanted in (tmp_path / "page/report.md").read_text()


def test_the_folder_replaces_the_download(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder/a").mkdir(parents=True)
    (tmp_path / "folder/a/right.txt").write_bytes(BODY)
    monkeypatch.setenv("MOA_ASSETS", str(tmp_path / "folder"))
    assert assets.fetch("a/right.txt").source == "folder"
    assert assets.fetch("a/unknown.txt", unverified=True).source == "download"


def test_the_shared_layout_works_as_the_folder(asset_folder: Path) -> None:
    """Files of the folder pass the check; missing ones can be downloaded."""
    missing = [entry for entry in catalog() if assets.present(entry.name) is None]
    assert "alpaca_eval/df_gamed.csv" in {entry.name for entry in missing}
    assert len(missing) < len(catalog()) / 2
    assert all(entry.url for entry in missing)


def test_every_asset_says_where_it_is_from_and_under_which_licence() -> None:
    names = [entry.name for entry in catalog()]
    assert len(set(names)) == len(names)
    for entry in catalog():
        assert entry.licence
        assert entry.url is None or entry.url.startswith("https://")
        assert entry.url or entry.note
        assert entry.sha256 is None or len(entry.sha256) == 64
    with pytest.raises(InputError, match=r"similar: mt_bench/question\.jsonl"):
        assets.asset("question")
