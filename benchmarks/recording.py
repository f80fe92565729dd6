"""Record docs/img/demo.svg: `moa` answering on the embedded model in a real terminal, as an animated SVG.

    python -m benchmarks.recording

tmux runs the command; its screen is read ten times a second, and every screen that differs from the one before becomes
a frame. Needs tmux.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

QUESTION = "What is the capital of France?"
COMMAND = f'moa --show-drafts "{QUESTION}"'
TARGET = Path(__file__).parents[1] / "docs/img/demo.svg"
WIDTH, HEIGHT = 100, 30
EVERY = 0.1
"""Seconds between two looks at the screen."""
LONGEST = 180.0
"""Seconds after which a run that has not ended is given up."""
LAST = 6.0
"""Seconds that the last frame stays."""

_COLOURS = {
    "black": "#8b8f9c", "red": "#ff9f94", "green": "#85d8a6", "yellow": "#f0bd6c", "blue": "#7aa5f5",
    "magenta": "#d08ae6", "cyan": "#55c3d3", "white": "#edebe5",
}  # fmt: skip
_CONSOLE = Console(width=WIDTH)
_PAPER, _INK, _MUTED = "#1b1d25", "#edebe5", "#a9a69c"
_STEP_X, _STEP_Y, _MARGIN, _BAR = 8.4, 19, 18, 34


class Frame(NamedTuple):
    """A screen, with its second since the start."""

    at: float
    rows: list[Text]


def record() -> list[Frame]:
    """Run the command in a terminal, and return its screens."""
    tmux = ["tmux", "-L", f"moa-recording-{os.getpid()}", "-f", "/dev/null"]

    def call(*args: str) -> str:
        return subprocess.run([*tmux, *args], check=True, capture_output=True, text=True, timeout=20).stdout

    with tempfile.TemporaryDirectory() as home:
        bin_folder = str(Path(sys.executable).parent)
        keep = {name: value for name, value in os.environ.items() if not name.endswith(("_KEY", "_TOKEN"))}
        env = {**keep, "MOA_HOME": home, "TERM": "xterm-256color", "PATH": f"{bin_folder}:{os.environ['PATH']}"}
        env.pop("TMUX", None)
        size = ["-x", str(WIDTH), "-y", str(HEIGHT)]
        shell = "env PS1='$ ' bash --norc --noprofile"
        subprocess.run([*tmux, "new-session", "-d", *size, "-c", home, shell], check=True, env=env, timeout=20)
        try:
            _until(lambda: call("capture-pane", "-p").startswith("$"))
            frames: list[Frame] = []
            begun = time.monotonic()
            for character in COMMAND:
                call("send-keys", "-l", character)
                _look(frames, call, begun)
            call("send-keys", "Enter")
            while not _ended(frames):
                if time.monotonic() - begun > LONGEST:
                    raise SystemExit("the command did not end:\n" + call("capture-pane", "-p"))
                time.sleep(EVERY)
                _look(frames, call, begun)
        finally:
            subprocess.run([*tmux, "kill-server"], capture_output=True, timeout=20, check=False)
    return frames


def _until(there: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not there():
        if time.monotonic() > end:
            raise SystemExit("no shell in tmux")
        time.sleep(EVERY)


def _look(frames: list[Frame], call: Callable[..., str], begun: float) -> None:
    screen = call("capture-pane", "-e", "-p")
    rows = [Text.from_ansi(line) for line in screen.rstrip("\n").split("\n")]
    if not frames or rows != frames[-1].rows:
        frames.append(Frame(time.monotonic() - begun, rows))


def _ended(frames: list[Frame]) -> bool:
    """Return whether the shell's prompt has come back below what the command wrote."""
    shown = [row.plain.rstrip() for row in frames[-1].rows if row.plain.strip()]
    return len(shown) > 1 and shown[-1] == "$"


def draw(frames: list[Frame]) -> str:
    """Return the frames as one SVG that repeats; where nothing moves, the last frame is seen."""
    rows = max(len(_trimmed(frame.rows)) for frame in frames)
    width = round(WIDTH * _STEP_X + 2 * _MARGIN)
    height = round(rows * _STEP_Y + _BAR + _MARGIN)
    total = frames[-1].at + LAST
    dots = "".join(
        f'<circle cx="{_MARGIN + 4 + 18 * n}" cy="17" r="5.5" fill="{colour}"/>'
        for n, colour in enumerate(("#ff9f94", "#f0bd6c", "#85d8a6"))
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{escape(COMMAND)} in a terminal: three drafts, then the answer">',
        "<style>text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
        f"white-space:pre;fill:{_INK}}}.b{{font-weight:700}}.d{{fill:{_MUTED}}}</style>",
        f'<rect width="{width}" height="{height}" rx="10" fill="{_PAPER}"/>{dots}',
        '<rect width="0" height="0"><animate id="loop" attributeName="x" begin="0s;loop.end" '
        f'dur="{total:.1f}s"/></rect>',
    ]
    for place, frame in enumerate(frames):
        last = place == len(frames) - 1
        begin, end = frame.at, total if last else frames[place + 1].at
        shown, timing = ("visible", "hidden") if last else ("hidden", "visible")
        start, length = (0.0, begin) if last else (begin, end - begin)
        step = f'<set attributeName="visibility" to="{timing}" begin="loop.begin+{start:.2f}s" dur="{length:.2f}s"/>'
        parts.append(f'<g visibility="{shown}">{step}{_drawn(_trimmed(frame.rows))}</g>')
    return "\n".join([*parts, "</svg>", ""])


def _trimmed(rows: list[Text]) -> list[Text]:
    """Return the rows without empty ones at the end, and without the prompt that came back."""
    rows = list(rows)
    while rows and (not rows[-1].plain.strip() or (len(rows) > 1 and rows[-1].plain.strip() == "$")):
        rows.pop()
    return rows


def _drawn(rows: list[Text]) -> str:
    lines = []
    for number, row in enumerate(rows):
        if row.plain.strip():
            y = _BAR + _STEP_Y * (number + 1) - 6
            lines.append(f'<text x="{_MARGIN}" y="{y}">{_spans(row)}</text>')
    return "".join(lines)


def _spans(row: Text) -> str:
    """Return a row as runs of one style each."""
    length = len(row.plain.rstrip())
    cuts = sorted({0, length, *(place for span in row.spans for place in (span.start, span.end) if place < length)})
    parts = []
    for start, end in pairwise(cuts):
        style = row.get_style_at_offset(_CONSOLE, start)
        classes = " ".join(name for name, on in (("b", style.bold), ("d", style.dim)) if on)
        name = (style.color.name if style.color else "").removeprefix("bright_")
        fill = f' fill="{_COLOURS[name]}" style="fill:{_COLOURS[name]}"' if name in _COLOURS else ""
        text = escape(row.plain[start:end])
        parts.append(f'<tspan class="{classes}"{fill}>{text}</tspan>' if classes or fill else text)
    return "".join(parts)


def main() -> int:
    """Record, and write the file."""
    if shutil.which("tmux") is None:
        print("no tmux on the path: apt-get install tmux", file=sys.stderr)
        return 1
    frames = record()
    TARGET.write_text(draw(frames), encoding="utf-8")
    print(f"{TARGET.name}: {len(frames)} frames, {TARGET.stat().st_size:,} bytes, {frames[-1].at:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
