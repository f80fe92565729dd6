"""Draw sessions of Codex and Claude Code with `moa serve` as SVG: `python -m tests.clients.screenshots`.

The programs run in a terminal (tmux) against `moa serve`, whose models are the loopback provider's. The pictures in
docs/img/ are what the terminal showed.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from string import Template

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.clients.environments import HOME, ROOT, install
from tests.clients.servers import calling, mixture_file, moa_serve
from tests.provider import Provider

COLUMNS, LINES = 92, 34
QUESTION = "Which file defines add(), and does main.py work?"
SHELL = "grep -l 'def add' *.py && python3 main.py"
ANSWER = "add() is defined in sums.py. main.py works: it prints 4."
SECONDS = 60.0

_SVG = """<svg viewBox="0 0 {terminal_width} {terminal_height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font: bold 18px sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""Rich's own template loads its font from another host."""


def main() -> int:
    """Take both pictures."""
    if shutil.which("tmux") is None:
        print("no tmux on the path: apt-get install tmux", file=sys.stderr)
        return 1
    install("node")
    with tempfile.TemporaryDirectory(prefix="moa-shots-") as name, Provider() as provider:
        folder = Path(name)
        shell = {"cmd": SHELL}
        codex = mixture_file(provider, folder, "codex", calling("exec_command", shell, ANSWER))
        bash = {"command": SHELL, "description": "Find add() and run main.py"}
        claude = mixture_file(provider, folder, "claude", calling("Bash", bash, ANSWER))
        with moa_serve({"codex": codex, "claude": claude}) as base:
            _save("codex", _session("codex", f'codex "{QUESTION}"', _codex(folder / "codex", base)))
            _save("claude-code", _session("claude", f'claude -- "{QUESTION}"', _claude(folder / "claude", base)))
    return 0


def _project(home: Path) -> Path:
    """Make a home with the project that the agents are asked about; return the project."""
    project = home / "project"
    project.mkdir(parents=True)
    (project / "sums.py").write_text("def add(a, b):\n    return a + b\n")
    (project / "main.py").write_text("from sums import add\n\nprint(add(2, 2))\n")
    return project


def _codex(home: Path, base: str) -> dict[str, str]:
    project = _project(home)
    config = Template("""model = "codex"
model_provider = "moa"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false
[model_providers.moa]
name = "moa"
base_url = "$base/v1"
wire_api = "responses"
[tui]
status_line = ["model-with-reasoning", "current-dir"]
[projects."$project"]
trust_level = "trusted"
""")
    (home / "config.toml").write_text(config.substitute(base=base, project=project))
    return {"HOME": str(home), "CODEX_HOME": str(home)}


def _claude(home: Path, base: str) -> dict[str, str]:
    accepted = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
    known = {"hasCompletedOnboarding": True, "theme": "dark", "projects": {str(_project(home)): accepted}}
    (home / ".claude.json").write_text(json.dumps(known))
    (home / ".claude").mkdir()
    (home / ".claude" / "settings.json").write_text(json.dumps({"permissions": {"allow": ["Bash"]}}))
    models = ("ANTHROPIC_MODEL", "ANTHROPIC_SMALL_FAST_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL")
    quiet = ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "DISABLE_TELEMETRY", "DISABLE_AUTOUPDATER", "IS_SANDBOX")
    return {
        "HOME": str(home),
        "ANTHROPIC_BASE_URL": base,
        "ANTHROPIC_AUTH_TOKEN": "none",
        **dict.fromkeys(models, "claude"),
        **dict.fromkeys(quiet, "1"),
    }


def _session(name: str, command: str, env: dict[str, str]) -> str:
    """Run a program in a terminal until it has answered; return what the terminal shows, with its colours."""
    tmux = ["tmux", "-L", f"moa-shots-{os.getpid()}", "-f", os.devnull]
    path = f"{HOME / 'node' / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", **env}
    told = [part for key, value in own.items() for part in ("-e", f"{key}={value}")]
    size = ["-x", str(COLUMNS), "-y", str(LINES)]
    start = ["new-session", "-d", "-s", name, *size, "-c", f"{env['HOME']}/project", *told, command]
    subprocess.run([*tmux, *start], check=True, env=own)
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(0.5)
            shown = subprocess.run(
                [*tmux, "capture-pane", "-p", "-e", "-t", name], check=True, capture_output=True, text=True
            ).stdout
            if ANSWER in Text.from_ansi(shown).plain and "esc to interrupt" not in shown:
                return shown
        raise TimeoutError(f"{name} has not answered within {SECONDS:g} s:\n{shown}")
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


def _save(name: str, shown: str) -> None:
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    lines = _without_gaps(shown.rstrip().splitlines())
    for line in lines:
        console.print(Text.from_ansi(line), no_wrap=True, overflow="crop", highlight=False)
    svg = console.export_svg(title=name, theme=MONOKAI, code_format=_SVG, unique_id=name)
    target = ROOT / "docs" / "img" / f"{name}.svg"
    target.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")
    print(target.relative_to(ROOT), len(svg), "bytes")


def _without_gaps(lines: list[str]) -> list[str]:
    """Drop empty lines after the second of a row: the terminal is taller than the session."""
    kept: list[str] = []
    for line in lines:
        if Text.from_ansi(line).plain.strip() or any(Text.from_ansi(each).plain.strip() for each in kept[-2:]):
            kept.append(line)
    return kept


if __name__ == "__main__":
    raise SystemExit(main())
