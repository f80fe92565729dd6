"""The log of all questions asked on this computer: one SQLite file. It can be switched off."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from moa_graph.cli.errors import error_text
from moa_graph.cli.log_entry import Entry, entry_of
from moa_graph.cli.output.messages import message
from moa_graph.errors import InputError, MoAError
from moa_graph.mixture.user_folders import home

if TYPE_CHECKING:
    from moa_graph.cli.run import Interrupted
    from moa_graph.cli.source import Server
    from moa_graph.mixture.mixture import Mixture
    from moa_graph.state import Draft, Record

_SCHEMA = """
CREATE TABLE IF NOT EXISTS questions (
    id INTEGER PRIMARY KEY,
    conversation TEXT NOT NULL,
    asked REAL NOT NULL,
    mixture TEXT NOT NULL,
    models TEXT NOT NULL,
    question TEXT NOT NULL,
    answer TEXT,
    error TEXT,
    cost REAL,
    seconds REAL,
    drafts TEXT NOT NULL,
    record TEXT,
    calls INTEGER
);
CREATE INDEX IF NOT EXISTS by_conversation ON questions (conversation, id);
"""
_COLUMNS = ", ".join(Entry._fields)
_MOST = 2**63 - 1
"""The largest number in a file of SQLite."""


class LoggedConversation(NamedTuple):
    """A conversation of the log that can be continued: its id and its messages."""

    id: str
    messages: list[dict[str, str]]


class Log:
    """The file `logs.db` in the user's folder, readable by its owner only.

    Attributes:
        path: The path of the file, which may not exist.
        on: Whether questions are written to it.
    """

    def __init__(self, path: Path, *, on: bool = True) -> None:
        self.path, self.on = path, on

    @classmethod
    def open(cls) -> Log:
        """Return the log, off if MOA_LOG=off or `moa logs off` was used. No file is touched."""
        off = os.environ.get("MOA_LOG", "").lower() in ("off", "0", "false", "no") or _is_switched_off()
        return cls(home() / "logs.db", on=not off)

    def add(
        self,
        conversation: str,
        source: Mixture | Server | str,
        question: str,
        answer: str | None,
        drafts: Sequence[Draft],
        record: Record | None,
        *,
        failed: MoAError | Interrupted | None = None,
    ) -> None:
        """Write one question. If it cannot be written, a message on standard error says so; the command continues.

        Args:
            conversation: The id of its conversation.
            source: The mixture.
            question: The question.
            answer: The answer, or the part that was received; None without one.
            drafts: The drafts that were received.
            record: The record of an answered question.
            failed: The error of another question, which knows what its other calls cost.
        """
        if not self.on:
            return
        from moa_graph.state import cost_of

        error = error_text(failed) if failed else None
        made = [*drafts, *(failed.notes if failed else ())]
        cost = record["cost"] if record else cost_of(made, beside=failed.cost if failed else 0.0)
        calls = record["calls"] if record else sum(bool(each["attempts"]) for each in made)
        models = list(dict.fromkeys(draft["model"] for draft in drafts))
        models += [record["aggregator"]] if record and record["aggregator"] not in models else []
        row = (conversation, time.time(), _named(source), json.dumps(models), question, answer, error, cost)
        seconds, kept = (record["seconds"], json.dumps(record)) if record else (None, None)
        rest = (seconds, json.dumps(list(drafts)), kept, calls)
        sql = f"INSERT INTO questions ({_COLUMNS.partition(', ')[2]}) VALUES ({', '.join('?' * 12)})"
        self._write(sql, (*row, *rest))

    def entries(self, *, limit: int | None = None, words: Sequence[str] = (), conversation: str = "") -> list[Entry]:
        """Return entries, the newest last.

        Args:
            limit: The maximum number of entries, the newest ones.
            words: Only entries whose question, answer or drafts contain every one of these texts.
            conversation: Only entries of this conversation.
        """
        where, values = list[str](), list[Any]()
        for word in words:
            where.append("(question || char(10) || coalesce(answer, '') || char(10) || drafts) LIKE ? ESCAPE '\\'")
            values.append(f"%{_escaped(word)}%")
        if conversation:
            where.append("conversation = ?")
            values.append(conversation)
        condition = f"WHERE {' AND '.join(where)}" if where else ""
        rows = self._rows(
            f"SELECT {_COLUMNS} FROM questions {condition} ORDER BY id DESC LIMIT ?", (*values, min(limit or -1, _MOST))
        )
        return [entry_of(row) for row in rows][::-1]

    def entry(self, number: int | None = None) -> Entry:
        """Return the entry of that number, or the last one.

        Raises:
            InputError: It does not exist.
        """
        if number is None:
            found = self.entries(limit=1)
        elif not 0 < number <= _MOST:
            found = []
        else:
            found = [entry_of(row) for row in self._rows(f"SELECT {_COLUMNS} FROM questions WHERE id = ?", (number,))]
        if not found:
            raise InputError("the log is empty." if number is None else f"the log has no question {number}.")
        return found[0]

    def last_conversation(self, *, continued: bool) -> LoggedConversation:
        """Return the last conversation with its answered questions, or a new one.

        A question that got neither a draft nor an answer, such as one without a key, begins no conversation.

        Raises:
            InputError: It is to be continued, and the log is empty.
        """
        last = self._last_reply() if continued else None
        if continued and last is None:
            self.entry()
        if last is None or not last.conversation:
            return LoggedConversation(secrets.token_hex(8), [])
        messages: list[dict[str, str]] = []
        for each in self.entries(conversation=last.conversation):
            if each.answer and not each.error:
                messages.append({"role": "user", "content": each.question})
                messages.append({"role": "assistant", "content": each.answer})
        return LoggedConversation(last.conversation, messages)

    def set_aside(self, conversation: str, question: str, *, newer: int = 0) -> None:
        """Take a conversation's last answer to `question` out of it, or the one before `newer` others.

        The entry stays in the log.
        """
        answered = "SELECT id FROM questions WHERE conversation = ? AND question = ? AND error IS NULL"
        sql = f"UPDATE questions SET conversation = '' WHERE id = ({answered} ORDER BY id DESC LIMIT 1 OFFSET ?)"
        if self.on and self.path.exists():
            self._write(sql, (conversation, question, newer))

    def last_mixture(self) -> str | None:
        """Return the preset or the file of the mixture that answered last; None when it no longer exists."""
        from moa_graph.mixture.files import is_preset, preset_names
        from moa_graph.mixture.own_presets import own_presets

        last = self._last_reply()
        name = last.mixture if last else ""
        known = Path(name).is_file() if name and not is_preset(name) else name in {*own_presets(), *preset_names()}
        if name and not known:
            message(f"the last mixture ({name}) is neither a preset nor a file; the default answers")
        return name if known else None

    def _last_reply(self) -> Entry | None:
        """Return the newest question of a conversation that got an answer or drafts."""
        got = "conversation != '' AND (answer IS NOT NULL OR drafts != '[]')"
        rows = self._rows(f"SELECT {_COLUMNS} FROM questions WHERE {got} ORDER BY id DESC LIMIT 1", ())
        return entry_of(rows[0]) if rows else None

    def switch(self, *, on: bool) -> None:
        """Switch writing on or off, for every later command."""
        if on:
            _switch().unlink(missing_ok=True)
        else:
            _switch().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _switch().touch()
        self.on = on

    def _connected(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.touch(mode=0o600)
        db = sqlite3.connect(self.path, timeout=5.0)
        try:
            db.executescript(_SCHEMA)
            if not _counts_calls(db):  # the file of an earlier version
                db.execute("BEGIN IMMEDIATE")
                if not _counts_calls(db):  # nor has another process added it meanwhile
                    db.execute("ALTER TABLE questions ADD COLUMN calls INTEGER")
                db.commit()
        except BaseException:
            db.close()
            raise
        return db

    def _write(self, sql: str, values: Sequence[Any]) -> None:
        try:
            with closing(self._connected()) as db, db:
                db.execute(sql, _clean(values))
        except (sqlite3.Error, OSError) as exc:
            message(f"the log {self.path} could not be written: {exc}. MOA_LOG=off switches it off.")

    def _rows(self, sql: str, values: Iterable[Any]) -> list[Any]:
        if not self.path.exists():
            return []
        try:
            with closing(self._connected()) as db:
                db.text_factory = lambda data: data.decode("utf-8", "replace")
                return db.execute(sql, tuple(values)).fetchall()
        except sqlite3.Error as exc:
            raise InputError(f"{self.path} cannot be read: {exc}.") from exc


def _clean(values: Sequence[Any]) -> list[Any]:
    """Return values that SQLite can hold: without lone surrogates."""
    return [v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for v in values]


def _counts_calls(db: sqlite3.Connection) -> bool:
    return any(name == "calls" for _, name, *_ in db.execute("PRAGMA table_info(questions)"))


def _switch() -> Path:
    return home() / "logs-off"


def _is_switched_off() -> bool:
    try:
        return _switch().exists()
    except PermissionError:  # Python below 3.14: the folder may not be read
        return False


def _named(source: Mixture | Server | str) -> str:
    """Return the mixture's name in the log: a preset, a file with its folder, a name, a hash, or a server."""
    from moa_graph.mixture.addresses import without_credentials
    from moa_graph.mixture.files import is_preset

    if isinstance(source, str):
        return source if is_preset(source) else str(Path(source).absolute())
    from moa_graph.cli.source import Server

    if isinstance(source, Server):
        return f"{without_credentials(source.url)} {source.graph}"
    return source.name or source.hash


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
