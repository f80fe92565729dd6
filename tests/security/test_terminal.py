"""Text of models, servers and files cannot control the terminal."""

import asyncio
import http.server
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from moa_graph import Ledger
from moa_graph.cli import main
from moa_graph.cli.tune import TuneProgress
from moa_graph.costs.spending_cap import SpendingCap
from moa_graph.models.secrets.redaction import one_line
from moa_graph.models.terminal_text import escape_controls, for_terminal, in_full

KEPT = [
    "10\u00a0km",
    "5\u202f000\u00a0$",
    "a\u3000b",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\u0915\u094d\u200d\u0937",
    "👨\u200d👩\u200d👧",
    "❤\ufe0f",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "\U0001fae9 \U0001faef \U0001f6d8",
    "\U0001fbff unassigned",
    "tab\tand\nline",
    "naïve 日本語 עברית العربية",
    "soft\u00adhyphen",
    "",
]
GONE = {
    "\x1b[31mred\x1b[0m": "red",
    "\x1b]52;c;aGFja2Vk\x07x": "x",
    "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\": "link",
    "\x1b[2J\x1b[Hx": "x",
    "\x1bPq#0\x1b\\x": "x",
    "\x1bcx": "x",
    "\x9b31mred": "red",
    "\x9d52;c;x\x9cy": "y",
    "a\x07\x08\x7f\x00b": "ab",
    "one\rtwo": "onetwo",
    "one\r\ntwo": "one\ntwo",
    "one\u2028two": "one\ntwo",
    "a\u202eb\u2066c\u200fd": "abcd",
    "half \ud83d": "half \ufffd",
    "\x1b": "",
    "\x1b]unfinished": "unfinished",
}


@pytest.mark.parametrize("text", KEPT)
def test_no_character_is_lost(text: str) -> None:
    assert for_terminal(text) == text


@pytest.mark.parametrize("text", GONE)
def test_no_control_sequence_is_shown(text: str) -> None:
    shown = for_terminal(text)
    assert shown == GONE[text] or (text.startswith("\x1b]unf") and "\x1b" not in shown)


def test_pieces_of_a_stream_show_no_control_character_either() -> None:
    text = "".join(GONE)
    shown = "".join(map(for_terminal, text))
    assert not any(ord(c) < 32 and c not in "\n\t" for c in shown) and "\x9b" not in shown and "\u202e" not in shown


def test_a_line_about_a_fault_has_no_control_sequence() -> None:
    assert one_line("a\x1b[31m\u202e\nb") == "a b"


@pytest.mark.parametrize("text", [each for each in KEPT if "\n" not in each])
def test_a_line_about_a_fault_loses_no_character_either(text: str) -> None:
    assert one_line(f"the server said: {text}.") == f"the server said: {text}."


@pytest.mark.parametrize("part", ["\x9d", "\x90", "\x1b]", "\x9b1", "\x1b[1", "\x1b "])
def test_every_text_is_searched_in_linear_time(part: str) -> None:
    # Time that grows with the square of the length would make hours of this, and the test's time limit ends those.
    assert "\x1b" not in for_terminal(part * 300_000)


@pytest.mark.parametrize("text", [*KEPT, *GONE, '"\\', "\x9b", "\u2029"])
def test_json_says_the_same_without_raw_controls(text: str) -> None:
    shown = escape_controls(json.dumps({"answer": text}, ensure_ascii=False))
    assert json.loads(shown) == {"answer": text}
    assert for_terminal(shown) == shown


class Hostile(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        words = "no such graph \x1b]52;c;aGFja2Vk\x07\x1b[2J\u202eevil"
        body = json.dumps({"detail": words, "message": words, "error": words}).encode()
        self.send_response(422)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def hostile() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_servers_words_reach_the_terminal_as_words(hostile: str) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "moa_graph", "ask", "--quiet", "--url", hostile, "hi"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=follower, stderr=follower)
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65_536)
        except OSError:
            break
        if not part:
            break
        shown += part
    assert process.wait(60) != 0
    os.close(leader)
    assert b"no such graph" in shown and b"\x1b" not in shown and "\u202e".encode() not in shown


EVIL = "a\x1b]0;title\x07\x9b2K\u202eb"
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a mixture file and a ledger whose names and contents hold control sequences."""
    monkeypatch.setenv("MOA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    spec = {"model": f"openai:{EVIL}", "name": EVIL, "base_url": "http://127.0.0.1:9/v1", "api_key_env": "KEY"}
    mixture = {"proposers": [spec], "aggregator": spec, "description": EVIL, "max_attempts": 1}
    (tmp_path / f"{EVIL}.yaml").write_text(json.dumps(mixture))
    with Ledger(tmp_path / f"{EVIL}.ledger", run=EVIL) as ledger:
        asyncio.run(ledger.put("k", {}, item="1", layer=1, slot=0, role="proposer", model=f"openai:{EVIL}", cost=1.0))
    return tmp_path


@pytest.mark.parametrize(
    "commands",
    [
        [["trust", f"{EVIL}.yaml"], ["trust", f"{EVIL}.yaml", "--forget"], ["trust", f"{EVIL}.yml"]],
        [["presets", "add", f"{EVIL}.yaml", "mine"], ["presets", "list"], ["presets", "list", "--json"]],
        [["cost", f"{EVIL}.ledger"], ["cost", f"{EVIL}.ledger", "--json"], ["cost", f"{EVIL}.yaml"]],
        [
            ["ask", "--trust", "--file", f"{EVIL}.yaml", EVIL],
            ["logs", "list"],
            ["logs", "list", "--json"],
            ["logs", "show", "--drafts"],
            ["logs", "show", "--json"],
            ["ask", "--estimate", "--file", f"{EVIL}.yaml", EVIL],
        ],
        [["doctor", "--trust", "--file", f"{EVIL}.yaml"], ["doctor", "--trust", "--json", "--file", f"{EVIL}.yaml"]],
        [["graph", "--file", f"{EVIL}.yaml"], ["batch", f"{EVIL}.jsonl", "out.jsonl"], [EVIL], ["ask", f"--{EVIL}"]],
    ],
    ids=lambda commands: commands[0][0],
)
def test_no_command_writes_a_control_sequence_of_a_file(folder: Path, commands: list[list[str]]) -> None:
    env = {**os.environ, "KEY": "a-key-of-mine", "NO_COLOR": "1", "TERM": "dumb"}
    for args in commands:
        command = [sys.executable, "-m", "moa_graph", *args]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False, timeout=100)
        text = (done.stdout + done.stderr).decode()
        assert not CONTROLS.search(text), (args, text)
        assert "No such option" not in text or EVIL in args[-1], "a command that does nothing shows nothing"
        if "--json" in args and done.returncode == 0:
            json.loads(done.stdout)


@pytest.mark.parametrize("text", [*KEPT, *GONE])
def test_what_is_shown_in_full_leaves_nothing_out(text: str) -> None:
    shown = in_full(text)
    assert for_terminal(shown) == shown and "\n" not in shown
    assert (shown == text) is (for_terminal(text) == text and not set(text) & set("\n\t"))
    rest = iter(shown)
    assert all(character in rest for character in text if character.isprintable()), "each, in its order"


@pytest.mark.parametrize(
    "hidden", ["\x1b]; HIDDEN #\x07", "\x1b[1;HIDDEN", "\x9d; HIDDEN\x9c", "\x1bP; HIDDEN #\x1b\\"]
)
def test_a_program_that_is_confirmed_is_shown_in_full(
    folder: Path, hidden: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = {"model": "openai:a", "base_url": "http://127.0.0.1:9/v1"}
    command = ["sh", "-c", f"true {hidden}\u2028MY_KEY to https://api.example.com\x85"]
    check = {"name": "verify", "check": {"command": command, "environment": [f"HOME{hidden}"]}}
    file = folder / "checked.yaml"
    file.write_text(json.dumps({"proposers": [spec], "aggregator": spec, "combine": check}))
    assert main(["trust", str(file)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("runs sh -c 'true ") and shown.count("HIDDEN") == 2
    assert len(shown.splitlines()) == 1 and not CONTROLS.search(shown)


LOGS = """
import logging, sys, typer, warnings
from moa_graph.cli.errors import run

app = typer.Typer()

@app.command()
def command() -> None:
    logging.getLogger("any").warning("file %s", sys.argv[1])
    warnings.warn(sys.argv[1])
    try:
        raise ValueError(sys.argv[1])
    except ValueError:
        logging.getLogger("any").exception("unexpected")
    raise RuntimeError(sys.argv[1])

sys.exit(run(lambda: app, [], "moa"))
"""


def test_the_log_warnings_and_tracebacks_write_no_control_sequence_either() -> None:
    env = {**os.environ, "MOA_DEBUG": "1"}
    command = [sys.executable, "-c", LOGS, EVIL]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1 and not CONTROLS.search(done.stderr), done.stderr
    for line in ("file ab", "UserWarning: ab", "ValueError: ab", "RuntimeError: ab"):
        assert f"{line}\n" in done.stderr


def test_the_progress_of_moa_tune_names_models_without_control_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    progress = TuneProgress()
    progress.started(f"synthesize by {EVIL}", 1)
    progress.moved(f"synthesize by {EVIL}", SpendingCap())
    shown = capsys.readouterr().err
    assert shown.startswith("synthesize by ab: 1/1") and not CONTROLS.search(shown)
