"""The CPU time of commands of `moa`, each in a process of its own."""

import compileall
import functools
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks.provider import ROOT
from benchmarks.report import Row, row

_MOA = (sys.executable, "-c", "from moa_graph.cli import main; main()")
_ROUNDS = 5


def commands() -> list[Row]:
    """CPU of `moa ask` up to its first request, and of commands that make no request."""
    compile_package()
    return [
        row("start_ask", "process start to the first request of `moa ask`", _repeated(_ask), "s", 0.8),
        row("start_presets", "`moa presets list`", _repeated(lambda: _whole(*_MOA, "presets", "list")), "s", 0.2),
        row("help", "`moa --help`", _repeated(lambda: _whole(*_MOA, "--help")), "s", 0.3),
        row("import", "`import moa_graph`", _repeated(lambda: _whole(sys.executable, "-c", "import moa_graph")), "s"),
    ]


@functools.cache
def compile_package() -> None:
    """Compile the package, as pip does when it installs one.

    The package that is measured is not installed, and an environment may forbid Python to keep what it compiles. Each
    process would then compile all modules again.
    """
    compileall.compile_dir(ROOT / "moa_graph", quiet=1)


def _repeated(measure: Callable[[], float]) -> list[float]:
    return [measure() for _ in range(_ROUNDS)]


def _whole(*command: str) -> float:
    """Return the CPU seconds of a process that ends by itself."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _ask() -> float:
    """Return the CPU seconds that `moa ask` has used when it connects to its provider. It is ended there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        command = [*_MOA, "ask", "--proposer", "openai:model", "--base-url", url, "What is the capital of France?"]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "OPENAI_API_KEY": "none"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            connection, _ = server.accept()
            used = time.clock_gettime(_clock_of(process.pid))
            connection.close()
        finally:
            process.kill()
            process.wait()
    return used


def _clock_of(process: int) -> int:
    """Return the id of another process's CPU clock, as clock_getcpuclockid(3) makes it. Linux only."""
    return (~process << 3) | 2
