"""`moa serve` as a process: it prints its address, serves the chosen mixtures, and stops on a signal."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from openai import OpenAI

from moa_graph.cli import main


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No keys, no .env above the working directory."""
    for name in ("OPENAI_API_KEY", "TOGETHER_API_KEY", "MOA_PRESET", "MOA_SERVE_KEY", "MOA_SERVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("command", "sent", "keys", "offered"),
    [
        ("serve", signal.SIGINT, {"TOGETHER_API_KEY": "none"}, ("together", "local")),
        ("ui", signal.SIGTERM, {}, ("local", "local")),
    ],
)
def test_it_serves_until_it_is_stopped(clean, command, sent, keys, offered):
    options = ["--no-browser"] if command == "ui" else ["--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "moa_graph", command, *options],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **keys},
    ) as process:
        lines = [process.stderr.readline()]
        while "Ctrl-C" not in lines[-1] and process.poll() is None:
            lines.append(process.stderr.readline())
        said = "".join(lines)
        try:
            url = re.search(r"http://127\.0\.0\.1:\d+", said)[0]
            client = OpenAI(base_url=f"{url}/v1", api_key="none")
            names = [model.id for model in client.models.list()]
            client.close()
            with urllib.request.urlopen(f"{url}/moa", timeout=30) as page:
                assert b"<title>moa" in page.read()
        finally:
            process.send_signal(sent)
            rest = process.stderr.read()
    # Without a key the embedded model is all there is; with one it stands behind what `moa ask` would take.
    assert (names[0], names[-1]) == offered and "openai" not in names
    assert "left out  openai (needs OPENAI_API_KEY)" in said
    assert "Traceback" not in rest
    assert process.returncode in (130, -signal.SIGTERM, 143)


def test_an_unusable_option_is_reported_in_one_line(clean, capsys):
    for args, code, words in (
        (["--host", "0.0.0.0"], 3, "MOA_SERVE_KEY"),
        (["--preset", "nothing"], 3, "nothing"),
        (["--preset", "openai"], 3, "OPENAI_API_KEY"),
        (["--preset", "local", "--preset", "local"], 3, "two mixtures"),
        (["--host", "no such host", "--port", "0"], 3, "MOA_SERVE_KEY"),
    ):
        assert main(["serve", *args]) == code
        said = capsys.readouterr().err
        assert words in said and len(said.splitlines()) == 1, said


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("secret\n", "a line break"),
        (" secret", "spaces"),
        (" ", "spaces"),
        ("se\tcret", "control"),
        ("se\udcff", "control"),
    ],
)
def test_a_key_that_no_client_can_send_is_refused(clean, capsys, monkeypatch, key, words):
    """A file of a secret ends in a line break: every client got a 401."""
    monkeypatch.setenv("MOA_SERVE_KEY", key)
    assert main(["serve", "--host", "0.0.0.0", "--port", "0"]) == 3
    said = capsys.readouterr().err
    assert "MOA_SERVE_KEY: the key contains" in said and words in said and len(said.splitlines()) == 1


FROZEN = """
import gc, os, signal
from moa_graph.cli.serve import listen

def ready(url):
    loaded = gc.get_freeze_count()
    kept = [[] for _ in range(1000)]
    gc.collect()
    print(loaded, gc.get_freeze_count() - loaded, len(gc.get_objects()), len(gc.callbacks), flush=True)
    os.kill(os.getpid(), signal.SIGINT)

listen([], 0, "127.0.0.1", ready=ready)
"""


def test_loaded_modules_are_not_examined_by_full_collections(clean):
    """The start is frozen, and what the first requests load is frozen after the first full collection."""
    env = {**os.environ, "TOGETHER_API_KEY": "none"}
    done = subprocess.run([sys.executable, "-c", FROZEN], env=env, capture_output=True, text=True, timeout=120)
    loaded, later, left, callbacks = map(int, done.stdout.split())
    assert loaded > 50_000 and later >= 1000 and left < 1000 and callbacks == 0


def test_a_taken_port_is_said(clean, capsys, served):
    assert main(["serve", "--preset", "local", "--port", str(served.port)]) == 3
    assert "Use another --port" in capsys.readouterr().err


def test_models_of_one_server_are_served_without_a_file(clean, provider):
    models = ["--proposer", "openai:one-say=first", "--aggregator", "openai:agg-say=whole"]
    with subprocess.Popen(
        [sys.executable, "-m", "moa_graph", "serve", *models, "--base-url", provider.url, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            url = process.stderr.readline().split()[1].removesuffix("/moa")
            client = OpenAI(base_url=f"{url}/v1", api_key="none")
            assert [model.id for model in client.models.list()] == ["moa"]
            answer = client.chat.completions.create(model="moa", messages=[{"role": "user", "content": "x"}])
            assert answer.choices[0].message.content == "whole"
        finally:
            process.terminate()
            process.wait(20)


def test_a_host_without_a_model_is_refused(clean, capsys):
    assert main(["serve", "--base-url", "http://127.0.0.1:9/v1"]) == 2
    assert "--base-url needs --proposer" in capsys.readouterr().err


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_active_runs_end_with_a_reason_when_the_server_stops(clean, provider, sent):
    models = ["--proposer", "openai:one-say=first", "--aggregator", "openai:agg-hangmid", "--base-url", provider.url]
    ask = {"model": "moa", "messages": [{"role": "user", "content": "x"}]}
    with subprocess.Popen(
        [sys.executable, "-m", "moa_graph", "serve", *models, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENAI_API_KEY": "none"},
    ) as process:
        try:
            port = int(re.search(r":(\d+)/", process.stderr.readline())[1])
            open_ = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(2)]
            for connection, stream in zip(open_, (True, False), strict=True):
                body = json.dumps({**ask, "stream": stream})
                connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            begun = open_[0].getresponse()
            while b"content" not in begun.readline():
                pass
            provider.wait(lambda _: sum(each.model.startswith("agg") for each in provider.requests()) == 2, 30)
        finally:
            process.send_signal(sent)
        whole = open_[1].getresponse()
        refused, rest = json.loads(whole.read()), begun.read()
        said = process.stderr.read()
    for connection in open_:
        connection.close()
    assert whole.status == 503 and whole.headers["x-should-retry"] == "false"
    assert refused["error"]["code"] == "server_stopping"
    assert b"server_stopping" in rest.rpartition(b"data: ")[2]
    assert "Traceback" not in said
    assert process.returncode == (130 if sent == signal.SIGINT else -sent)
