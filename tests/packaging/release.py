"""Check, build and tag a release.

`python -m tests.packaging.release` tags the commit; `--tagged vX.Y.Z` builds what a tag names, as the workflow
`publish` does. Both require that the version in `moa_graph/__init__.py` is the newest one in CHANGELOG.md, that the
work tree is clean, and that the archives have that version.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def package_version(root: Path) -> str:
    """The version in the package's source."""
    found = re.search(r'^__version__ = "([^"]+)"', (root / "moa_graph/__init__.py").read_text("utf-8"), re.M)
    return found[1] if found else ""


def changelog_version(root: Path) -> str:
    """Return the newest released version in the changelog; empty if its date is missing."""
    found = re.search(r"^## (\d+\.\d+\.\d+\S*), \d{4}-\d{2}-\d{2}$", (root / "CHANGELOG.md").read_text("utf-8"), re.M)
    return found[1] if found else ""


def problems(root: Path, *, tag: str | None = None) -> list[str]:
    """Return the problems that prevent a release of the tree at `root`."""
    version, cut = package_version(root), changelog_version(root)
    found = []
    if version != cut:
        found.append(f"__version__ is {version}, the newest version of CHANGELOG.md is {cut or 'none'}")
    if tag is not None and tag != f"v{version}":
        found.append(f"the tag is {tag}, __version__ is {version}")
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True)
    if changed.stdout.strip():
        found.append(f"the work tree has changes:\n{changed.stdout.rstrip()}")
    if tag is None:
        known = subprocess.run(["git", "tag", "--list", f"v{version}"], cwd=root, capture_output=True, text=True)
        if known.stdout.strip():
            found.append(f"the tag v{version} exists")
    return found


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.packaging.release")
    options.add_argument("--tagged", metavar="TAG", help="build what this tag names; tag nothing")
    tag = options.parse_args().tagged
    if found := problems(ROOT, tag=tag):
        print(*found, sep="\n", file=sys.stderr)
        return 1
    version = package_version(ROOT)
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    subprocess.run([sys.executable, "-m", "build", "--outdir", "dist"], cwd=ROOT, check=True)
    built = sorted(path.name for path in (ROOT / "dist").iterdir())
    if built != [f"moa_graph-{version}-py3-none-any.whl", f"moa_graph-{version}.tar.gz"]:
        print(f"unexpected archives: {', '.join(built)}", file=sys.stderr)
        return 1
    if tag is None:
        subprocess.run(["git", "tag", "-a", f"v{version}", "-m", f"Version {version}"], cwd=ROOT, check=True)
        print(f"tagged v{version}. To publish it: git push origin main --tags")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
