"""The tests' loopback provider as a process of its own, so that its CPU is not counted as the client's."""

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def provider(keep: int = 0) -> Iterator[str]:
    """Yields the host, as in ``http://127.0.0.1:1234``; `keep` is how many requests it remembers."""
    # Imported here: a peer's environment has no such server, and needs none.
    from tests.provider.server import raise_file_limit

    raise_file_limit()  # the server inherits it
    command = [sys.executable, "-m", "tests.provider", "--port", "0", "--keep", str(keep), "--watch-stdin"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().split()[1]}"
    finally:
        process.communicate()


def stats(base: str) -> dict[str, Any]:
    """The provider's counts since `reset`; asking is itself one connection."""
    with urllib.request.urlopen(f"{base}/stats", timeout=30) as answer:
        found = json.load(answer)
    assert isinstance(found, dict)
    return found


def reset(base: str) -> None:
    urllib.request.urlopen(f"{base}/reset", timeout=30).read()
