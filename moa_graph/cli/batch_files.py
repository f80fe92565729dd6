"""Convert the files of `moa batch` that a batch cannot use directly: plain lines, standard input and output."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moa_graph.batch.questions import require_lines
from moa_graph.cli.output.messages import message
from moa_graph.errors import InputError

STANDARD = Path("-")
"""The name of standard input as IN, and of standard output as OUT."""


def check_files(source: Path, target: Path) -> None:
    """Check IN and OUT before anything is asked.

    Raises:
        InputError: One of them is not a regular file, or both are the same.
    """
    if source != STANDARD and not source.exists():
        raise InputError(f"{source}: no such file.")
    if source != STANDARD and not source.is_file():
        raise InputError(f"{source}: not a regular file. Pipe its lines to the command, with - as IN.")
    if target == STANDARD:
        return
    from moa_graph.batch.run import require_target

    require_target(target)
    if source != STANDARD and target.exists() and target.samefile(source):
        raise InputError(f"{target}: OUT is IN, whose questions the answers would replace. Name another file.")


@contextmanager
def opened_files(source: Path, target: Path, *, text: bool) -> Iterator[tuple[Path, Path]]:
    """Yield the files to read questions from and to write results to.

    Standard input is copied first, because a batch reads its questions more than once. Results for standard output are
    written at the end, also if the run was stopped. Where they cannot be written, they are kept in a file.

    Args:
        source: JSONL, or plain lines with `text`; "-" is standard input.
        target: The file of results; "-" is standard output.
        text: Whether each line of `source` is a question.

    Raises:
        InputError: `source` has no lines of text.
    """
    with tempfile.TemporaryDirectory(prefix="moa-batch-") as made:
        given, name = source, str(source)
        if source == STANDARD:
            given, name = Path(made) / "in", "standard input"
            with given.open("wb") as out:
                shutil.copyfileobj(sys.stdin.buffer, out)
        require_lines(given, name, text=text)
        if text:
            quoted = Path(made) / "in.jsonl"
            _quote(given, quoted)
            given = quoted
        if target != STANDARD:
            yield given, target
            return
        results = Path(made) / "out.jsonl"
        try:
            yield given, results
        finally:
            _print(results)


def _quote(source: Path, target: Path) -> None:
    """Write plain lines as JSON. Line numbers do not change."""
    with source.open("rb") as lines, target.open("wb") as out:
        for number, line in enumerate(lines):
            out.write(_quoted(line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line) + b"\n")


def _quoted(line: bytes) -> bytes:
    """Return a plain line as JSON. A line that is not UTF-8 stays unchanged, so that the batch reports it."""
    try:
        question = line.decode().strip()
    except UnicodeDecodeError:
        return line.rstrip(b"\n")
    return json.dumps(question).encode() if question else b""


def _print(results: Path) -> None:
    part = results.with_name(results.name + ".part")
    done = results if results.exists() else part
    if not done.exists():
        return
    try:
        sys.stdout.write(done.read_text(encoding="ascii"))
        sys.stdout.flush()
    except OSError as exc:
        # The folder is removed; its name is free beside it.
        kept = results.parent.with_suffix(".jsonl")
        done.replace(kept)
        message(f"standard output: {exc.strerror}. The answers are in {kept}")
        raise


def other_mixtures(target: Path, mixture: str) -> set[str]:
    """Return the hashes of other mixtures with answers in `target`; empty if it is not the output of a batch."""
    found: set[str] = set()
    try:
        with target.open("rb") as file:
            for line in file:
                row = json.loads(line)
                if isinstance(row, dict) and isinstance(row.get("mixture"), str):
                    found.add(row["mixture"])
    except (OSError, ValueError, RecursionError):
        return set()  # the file does not exist or is not an output; the batch itself checks whether it may be replaced
    return found - {mixture}
