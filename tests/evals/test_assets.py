"""Assets: found in the folder, in the cache, or downloaded; never used when their bytes are other ones."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from moa_graph.errors import ConfigError, InputError
from moa_graph.evals import assets
from moa_graph.evals.catalog import Asset, catalog

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
    monkeypatch.delenv("MOA_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield url
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_download_is_shown_checked_and_cached(source: str) -> None:
    told: list[str] = []
    found = assets.fetch("a/right.txt", tell=told.append)
    assert found.source == "download"
    assert found.path.read_bytes() == BODY
    assert source in told[0]
    assert found.asset.sha256 is not None
    assert found.asset.sha256 in told[0]
    assert "22 bytes" in told[0]
    assert "licence free" in told[0]
    assert assets.fetch("a/right.txt", tell=told.append).source == "cache"
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
    assert assets.fetch("a/unknown.txt", unverified=True, tell=told.append).source == "download"
    assert hashlib.sha256(BODY).hexdigest() in told[-1]


def test_the_folder_replaces_the_download(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder/a").mkdir(parents=True)
    (tmp_path / "folder/a/right.txt").write_bytes(BODY)
    monkeypatch.setenv("MOA_ASSETS", str(tmp_path / "folder"))
    assert assets.fetch("a/right.txt").source == "folder"
    assert assets.fetch("a/unknown.txt", unverified=True).source == "download"


def test_the_shared_layout_works_as_the_folder(asset_folder: Path) -> None:
    missing = [entry.name for entry in catalog() if assets.present(entry.name) is None]
    assert missing == ["alpaca_eval/df_gamed.csv"]


def test_every_asset_says_where_it_is_from_and_under_which_licence() -> None:
    names = [entry.name for entry in catalog()]
    assert len(set(names)) == len(names)
    for entry in catalog():
        assert entry.licence
        assert entry.url is None or entry.url.startswith("https://")
        assert entry.url or entry.note
        assert entry.sha256 is None or len(entry.sha256) == 64
    with pytest.raises(InputError, match=r"near: mt_bench/question\.jsonl"):
        assets.asset("question")
