"""The Pythons of this machine, and new environments made with them."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

_PROBE = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"


@cache
def pythons() -> dict[str, str]:
    """Interpreters that can make a virtual environment, by version: those on PATH, and those that pyenv keeps."""
    kept = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python"), reverse=True)
    named = [shutil.which(f"python3.{minor}") for minor in range(11, 15)]
    found: dict[str, str] = {}
    for python in [*map(str, kept), *filter(None, named)]:
        probe = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True)
        if probe.returncode == 0:
            found.setdefault(probe.stdout.strip(), python)
    return found


def environment(python: str, home: Path) -> Path:
    """Make a new, empty virtual environment at `home`."""
    subprocess.run([python, "-m", "venv", str(home)], check=True, capture_output=True)
    return home


def install(home: Path, *what: str) -> None:
    """Run pip without output unless it fails. Bytecode is compiled at the first import."""
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([*pip, "--no-compile", *what], capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr[-3000:]
