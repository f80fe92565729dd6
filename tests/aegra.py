"""aegra-api, an open server that speaks the Agent Server's protocol: one front process and several workers, on a
PostgreSQL and a Redis of their own, all on loopback and gone afterwards.

with Aegra(mixture, workers=2) as server:       # Missing(reason) where something it needs is not installed
    RemoteMoA(server.url); server.kill(0)       # SIGKILL to the first worker

It needs Python 3.12, so it has its own environment: `python -m tests.aegra` makes one in `.venv-aegra`, or
MOA_AEGRA_PYTHON names an interpreter that has aegra-api and this package's dependencies.
"""

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.ports import free_port

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".venv-aegra"
LEASE = {"LEASE_DURATION_SECONDS": "5", "HEARTBEAT_INTERVAL_SECONDS": "2", "REAPER_INTERVAL_SECONDS": "2"}
"""Seconds until a dead worker's runs are taken over; the server's own values are 30, 10 and 15."""


class Missing(Exception):
    """A requirement is not installed."""


class Aegra:
    """`url` is the front process, which runs nothing itself; each of the `workers` runs up to `jobs` runs at once."""

    def __init__(
        self, mixture: Mapping[str, Any], *, workers: int = 2, jobs: int = 8, env: Mapping[str, str] | None = None
    ) -> None:
        self.python = interpreter()
        self.postgres = Path(_program("postgres", "usr/lib/postgresql/*/bin/postgres", "PostgreSQL"))
        self.redis = _program("redis-server", "usr/bin/redis-server", "Redis")
        self.mixture, self.workers, self.jobs, self.env = mixture, workers, jobs, dict(env or {})
        self.killed: list[int] = []
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="moa-aegra-"))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def kill(self, worker: int) -> None:
        """Send SIGKILL: the worker cannot return its runs to the queue."""
        self._workers[worker].kill()
        self._workers[worker].wait()
        self.killed.append(worker)

    def stop(self) -> None:
        for process in reversed(self._running):
            process.terminate()
        for process in reversed(self._running):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def logs(self) -> str:
        return "\n".join(f"== {log.name}\n{log.read_text()[-3000:]}" for log in sorted(self.folder.glob("*.log")))

    def _start(self) -> None:
        (self.folder / "moa_graph").symlink_to(ROOT / "moa_graph")
        config = json.loads((ROOT / "langgraph.json").read_text())
        # aegra mounts FastAPI apps only; the page and the OpenAI routes are not tested here.
        config.get("http", {}).pop("app", None)
        (self.folder / "aegra.json").write_text(json.dumps(config))
        (self.folder / "mixture.yaml").write_text(yaml.safe_dump(dict(self.mixture)))
        database, broker = self._start_postgres(), self._start_redis()
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("LANGSMITH", "LANGCHAIN", "LANGGRAPH"))}
        base = (
            clean
            | LEASE
            | {
                "PYTHONPATH": str(ROOT),
                "MOA_PRESET": str(self.folder / "mixture.yaml"),
                "AEGRA_CONFIG": str(self.folder / "aegra.json"),
                "DATABASE_URL": database,
                "REDIS_BROKER_ENABLED": "true",
                "REDIS_URL": broker,
                "LANGSMITH_TRACING": "false",
                "LOG_LEVEL": "WARNING",
                "CRON_ENABLED": "false",
                **self.env,
            }
        )
        (self.url,) = self._serve({"door": base | {"WORKER_COUNT": "0"}})
        many = {"WORKER_COUNT": "1", "N_JOBS_PER_WORKER": str(self.jobs), "RUN_MIGRATIONS_ON_STARTUP": "false"}
        self._serve({f"worker{number}": base | many for number in range(self.workers)})
        self._workers = self._running[-self.workers :]

    def _serve(self, environments: Mapping[str, Mapping[str, str]]) -> list[str]:
        """Start the processes together and return their addresses when all answer."""
        begun = []
        for name, env in environments.items():
            port = free_port()
            command = [self.python, "-m", "uvicorn", "aegra_api.main:app", "--host", "127.0.0.1", "--port", str(port)]
            begun.append((name, self._run(name, command, cwd=self.folder, env=dict(env)), f"http://127.0.0.1:{port}"))
        for name, process, url in begun:
            self._wait(process, name, lambda url=url: _answers(f"{url}/health"))
        return [url for _, _, url in begun]

    def _start_postgres(self) -> str:
        data, port, user = self.folder / "pg", free_port(), _unprivileged()
        data.mkdir()
        self.folder.chmod(0o755)
        if user:
            shutil.chown(data, user)
        initdb = [str(self.postgres.with_name("initdb")), "-D", str(data), "-U", "moa", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*initdb, "--no-sync"], check=True, stdout=subprocess.DEVNULL, user=user, cwd="/")
        command = [str(self.postgres), "-D", str(data), "-p", str(port), "-k", str(data)]
        options = {"listen_addresses": "127.0.0.1", "fsync": "off", "max_connections": "200"}
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        process = self._run("postgres", command, user=user, cwd="/")
        ready = [str(self.postgres.with_name("createdb")), "-h", "127.0.0.1", "-p", str(port), "-U", "moa", "aegra"]
        self._wait(process, "postgres", lambda: subprocess.run(ready, capture_output=True).returncode == 0)
        return f"postgresql://moa@127.0.0.1:{port}/aegra"

    def _start_redis(self) -> str:
        port = free_port()
        command = [self.redis, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        process = self._run("redis", command)
        self._wait(process, "redis", lambda: _listens(port))
        return f"redis://127.0.0.1:{port}/0"

    def _run(self, name: str, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **options)
        self._running.append(process)
        return process

    def _wait(
        self, process: subprocess.Popen[bytes], name: str, ready: Callable[[], bool], seconds: float = 180
    ) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and process.poll() is None:
            if ready():
                return
            time.sleep(0.1)
        raise RuntimeError(f"{name} did not start:\n{self.logs()}")


def interpreter() -> str:
    """Return the interpreter of an environment with aegra-api.

    Raises:
        Missing: there is none.
    """
    for found in (os.environ.get("MOA_AEGRA_PYTHON"), str(HOME / "bin" / "python")):
        if found and Path(found).exists():
            return found
    raise Missing("no environment with aegra-api: `python -m tests.aegra` makes one where Python 3.12 is installed")


def make() -> None:
    """Make the environment in `.venv-aegra`, once: aegra-api and the dependencies of this package.

    Raises:
        Missing: there is no Python 3.12 or later.
    """
    if list(HOME.glob("lib/*/site-packages/aegra_api")):
        return
    subprocess.run([_python312(), "-m", "venv", "--clear", str(HOME)], check=True)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    command = [str(HOME / "bin" / "python"), "-m", "pip", "install", "-q", "aegra-api>=0.11,<0.12", *wanted]
    subprocess.run(command, check=True)


def _python312() -> str:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    places = [*(shutil.which(f"python3.{minor}") or "" for minor in (12, 13)), sys.executable]
    for python in filter(None, [*places, *map(str, sorted(pyenv.glob("versions/3.12*/bin/python")))]):
        asked = "import sys; raise SystemExit(sys.version_info < (3, 12))"
        if subprocess.run([python, "-c", asked], capture_output=True).returncode == 0:
            return python
    raise Missing("no Python 3.12, which aegra-api needs")


def _program(name: str, pattern: str, called: str) -> str:
    # PostgreSQL's own folder comes first: a program on the PATH may be a link without the other programs beside it.
    found = [*sorted(map(str, Path("/").glob(pattern)), reverse=True), shutil.which(name)]
    if not (program := next(filter(None, found), None)):
        raise Missing(f"no {called} ({name}) is installed")
    return program


def _unprivileged() -> str | None:
    """Return the user for PostgreSQL, which refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
        return True
    return False


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        make()
    except Missing as missing:
        sys.exit(str(missing))
