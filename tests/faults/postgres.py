"""A private PostgreSQL cluster on a socket in a temporary folder, run by an unprivileged user, deleted at the end."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def program(name: str) -> str | None:
    """Where a PostgreSQL program is: on the path, or where Debian puts it."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(places[-1]) if places else shutil.which(name)


def missing() -> str | None:
    """Why no cluster can be made here, or None."""
    if not (program("initdb") and program("pg_ctl")):
        return "PostgreSQL is not installed (apt-get install postgresql)"
    if os.geteuid() == 0 and not (_unprivileged() and shutil.which("runuser")):
        return "PostgreSQL does not run as root, and there is no other user to run it"
    return None


@contextmanager
def cluster() -> Iterator[str]:
    """A running cluster's connection string."""
    folder = Path(tempfile.mkdtemp(prefix="moa-pg-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, _unprivileged())
        folder.chmod(0o755)
        data = folder / "data"
        # The data is needed for this test only, so it need not reach the disk.
        settings = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        _run(program("initdb"), "-D", data, "-A", "trust", "-U", "tester", "--no-sync")
        _run(program("pg_ctl"), "-D", data, "-w", "-l", folder / "log", "-o", settings, "start")
        try:
            yield f"postgresql://tester@/postgres?host={folder}"
        finally:
            _run(program("pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> str:
    names = {user.pw_name for user in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), "")


def _run(*command: object) -> None:
    words = [str(word) for word in command]
    if os.geteuid() == 0:
        words = ["runuser", "-u", _unprivileged(), "--", *words]
    # pg_ctl's server keeps inherited pipes open: its output is discarded, because a pipe to it would never end.
    subprocess.run(words, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
