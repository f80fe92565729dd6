"""The Pythons of this machine, and new environments made with them.

uv makes them: it keeps what it downloaded, takes a tenth of pip's time, and can choose the lowest versions. pip, as the
README has it, installs what development needs.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

_UV = (sys.executable, "-m", "uv")
_NOT_PASSED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
_PROBE = "import sys, venv; print('%d.%d' % sys.version_info[:2])"


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


def clean() -> dict[str, str]:
    """The process's environment, with pip's index and certificates for uv, and without paths to this tree.

    Python may keep what it compiles: a new environment is compiled as it is imported.
    """
    own = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED}
    for pips, uvs in (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_CERT", "SSL_CERT_FILE")):
        if pips in own:
            own.setdefault(uvs, own[pips])
    return own


def environment(python: str, home: Path) -> Path:
    """Make a virtual environment at `home`, empty unless one is there, and return its Python."""
    _run("venv", "--allow-existing", "--python", python, str(home))
    return home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install(python: Path, *what: str) -> None:
    """Install into the environment of `python`; `what` are arguments of `uv pip install`."""
    _run("pip", "install", "--python", str(python), *what)


def _run(*command: str) -> None:
    subprocess.run([*_UV, *command, "--quiet"], check=True, env=clean())
