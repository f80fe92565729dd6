"""The file of a ledger: its schema and version, checks before it is opened, and free disk space."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import sqlite3
import stat
import struct
from pathlib import Path

from moa_graph.errors import ConfigError

APPLICATION = int.from_bytes(b"moaL", "big")
"""SQLite's `application_id` of a ledger, which distinguishes it from other SQLite files."""

VERSION = 2
"""SQLite's `user_version`: the version of the schema, the format of `value` and the computation of keys."""

MIN_ROOM = 2_000_000
"""Minimum free bytes for a further call. The answers of active calls must fit as well."""

_TABLES = (
    "CREATE TABLE calls (key TEXT PRIMARY KEY, run TEXT NOT NULL, item TEXT, layer INTEGER, slot INTEGER, role TEXT, "
    "repeat INTEGER, model TEXT, cost REAL, seconds REAL, value TEXT NOT NULL, digest TEXT NOT NULL, "
    "created REAL NOT NULL) WITHOUT ROWID",
    # Random keys of this file. They never leave it, except into HMACs.
    "CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
)
ORDER = "key, run, value, digest, created, item, layer, slot, role, repeat, model, cost, seconds"
_ROW = f"({', '.join('?' for _ in ORDER.split(', '))})"

AT_ONCE = 64
"""Rows that one statement reads or writes at most. SQLite before 3.32 takes 999 values: 76 rows of 13 columns."""


def insert(rows: int, *, replace: bool = False) -> str:
    """Return the statement that inserts some rows. The first value of a key stays, or with `replace` the last one."""
    values = ", ".join([_ROW] * rows)
    if replace:
        return f"INSERT OR REPLACE INTO calls ({ORDER}) VALUES {values}"
    return f"INSERT INTO calls ({ORDER}) VALUES {values} ON CONFLICT (key) DO NOTHING"


def select(keys: int) -> str:
    """Return the query for the rows of some keys. Bytes, because one damaged text would fail the whole query."""
    columns = ", ".join(f"CAST({name} AS BLOB)" for name in ("value", "digest", "item"))
    return f"SELECT key, {columns} FROM calls WHERE key IN ({', '.join('?' * keys)})"


def digest(key: str, value: bytes) -> str:
    """Return the checksum of a row."""
    return hashlib.sha256(key.encode() + b"\0" + value).hexdigest()[:32]


def connect(path: Path, *, busy_timeout: int) -> sqlite3.Connection:
    """Open a ledger, or make one where there is no file or an empty one.

    Args:
        path: The file.
        busy_timeout: Milliseconds to wait for other processes.

    Raises:
        ConfigError: The file is something else, or a ledger of another version. It has not been changed.
        sqlite3.Error: The file cannot be opened.
        OSError: The file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() and not path.exists():
        raise ConfigError(
            f"ledger {path.name}: a symbolic link to a file that does not exist. Remove it, or choose another ledger."
        )
    _check_header(path)
    if not path.exists():
        path.touch(mode=0o600)  # only the owner may read prompts and answers
    db = sqlite3.connect(path, timeout=busy_timeout / 1_000, isolation_level=None, check_same_thread=False)
    try:
        if _number(db, "application_id") != APPLICATION:
            _create(db, path)
        _check_version(db, path)
        if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
    except BaseException:
        db.close()
        raise
    return db


def require_room(path: Path) -> None:
    """Check that the disk has room for the next answers.

    Raises:
        ConfigError: The disk is almost full.
    """
    free = shutil.disk_usage(path.parent).free
    if free < MIN_ROOM:
        raise ConfigError(
            f"ledger {path.name}: the disk is full ({free:,} bytes free, {MIN_ROOM:,} are needed). No "
            "further call is made. Free space, or choose another ledger, and run again."
        )


def try_write(db: sqlite3.Connection) -> None:
    """Write and commit something.

    Raises:
        sqlite3.Error: It cannot be written.
    """
    db.execute("INSERT OR REPLACE INTO secrets (name, value) VALUES ('probe', zeroblob(10000))")
    db.execute("DELETE FROM secrets WHERE name = 'probe'")


def _check_header(path: Path) -> None:
    """Check the first bytes of the file, because opening another file with SQLite might change it."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise ConfigError(f"ledger {path.name}: not a regular file. Choose another ledger.")
    with path.open("rb") as file:
        head = file.read(100)
    # The file is empty, or another process is creating it.
    if not head.strip(b"\0"):
        return
    if not head.startswith(b"SQLite format 3\0") or len(head) < 100:
        raise ConfigError(f"ledger {path.name}: not a ledger (not an SQLite file). Choose another file.")
    (version,), (application,) = struct.unpack(">I", head[60:64]), struct.unpack(">I", head[68:72])
    if application != APPLICATION:
        raise ConfigError(
            f"ledger {path.name}: an SQLite file, but not a ledger, or one of a version before {VERSION}, whose rows "
            "answer no call of this version. It was not changed. Choose another file."
        )
    if version != VERSION:
        raise _other_version(path, version)


def _create(db: sqlite3.Connection, path: Path) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have made it while this one waited.
        if _number(db, "application_id") != APPLICATION:
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise ConfigError(f"ledger {path.name}: an SQLite file, but not a ledger. Choose another file.")
            # Left by a file that was removed while in use: SQLite would take it for the index of this one.
            path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
            for table in _TABLES:
                db.execute(table)
            db.execute("INSERT INTO secrets (name, value) VALUES ('fence', ?)", (secrets.token_bytes(32),))
            # In one transaction with the tables, before the write-ahead log: the file's first page always has them.
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _check_version(db: sqlite3.Connection, path: Path) -> None:
    version = _number(db, "user_version")
    if version != VERSION:
        raise _other_version(path, version)
    # Views, triggers and conditions are programs, which a file of somebody else could have run without end.
    tables = {sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE name NOT GLOB 'sqlite_stat*'")}
    if tables != set(_TABLES) or db.execute("SELECT 1 FROM secrets WHERE name = 'fence'").fetchone() is None:
        raise ConfigError(f"ledger {path.name}: its tables were changed. Choose another ledger.")


def _other_version(path: Path, version: int) -> ConfigError:
    return ConfigError(
        f"ledger {path.name}: of version {version}; this version of moa_graph reads version {VERSION}. Choose another "
        "ledger, or use the version of moa_graph that made it."
    )


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])
