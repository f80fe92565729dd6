"""Install the environments of the client programs, each apart, under `.clients/`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.clients.rows import NODE_PACKAGES, PYTHON_PACKAGES, Program
from tests.packaging import pythons

__all__ = ["HOME", "PROGRAM_FOLDER", "command", "install", "version"]

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".clients"
PROGRAM_FOLDER = Path(__file__).parent / "programs"


def install(name: str) -> None:
    """Make the environment of that name, unless it is there with the same packages."""
    folder, packages = HOME / name, {**NODE_PACKAGES, **PYTHON_PACKAGES}[name]
    stamp = folder / "installed.json"
    if stamp.exists() and json.loads(stamp.read_text()) == list(packages):
        return
    print(f"installing {name}: {', '.join(packages)}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    if name in NODE_PACKAGES:
        (folder / "package.json").write_text('{"private": true, "type": "module"}\n')
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", *packages], cwd=folder, check=True)
    else:
        # This project is installed as a link to its files, so that a change needs no new environment.
        given = [part for package in packages for part in _arguments(package)]
        pythons.install(pythons.environment(sys.executable, folder), "--compile-bytecode", *given)
    stamp.write_text(json.dumps(list(packages)))


def _arguments(package: str) -> list[str]:
    return ["--editable", package.replace("{root}", str(ROOT))] if "{root}" in package else [package]


def command(program: Program, modes: list[str]) -> list[str]:
    """Return the command that runs modes of a program in one process."""
    if program.environment not in NODE_PACKAGES:
        return [str(HOME / program.environment / "bin" / "python"), str(PROGRAM_FOLDER / program.file), *modes]
    # Copied beside its packages, where node looks for them.
    folder = HOME / program.environment
    for name in (program.file, "_run.mjs"):
        shutil.copy(PROGRAM_FOLDER / name, folder / name)
    return ["node", str(folder / program.file), *modes]


def version(program: Program) -> str:
    """Return the installed version of the program's package."""
    if program.environment in NODE_PACKAGES:
        about = HOME / program.environment / "node_modules" / program.package / "package.json"
        return str(json.loads(about.read_text(encoding="utf-8"))["version"])
    code = f"from importlib.metadata import version; print(version({program.package!r}))"
    python = HOME / program.environment / "bin" / "python"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
