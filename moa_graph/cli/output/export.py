"""Write a finished question to a file: JSON, Markdown or HTML."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moa_graph.errors import InputError
from moa_graph.mixture.whole_file import write_whole

_FENCE = "`" * 3

_NOT_REPLACED = frozenset({errno.EACCES, errno.EPERM, errno.EBUSY, errno.EROFS})
"""Errors of a file that can be written but not replaced: its folder takes no files, or it is a mount of its own."""


def check_target(path: Path) -> None:
    """Check that a target can be written, before anything is paid.

    Raises:
        InputError: The ending is unknown, the folder does not exist, or the target is not a regular file or cannot be
            written.
    """
    if path.suffix.lower() not in WRITERS:
        raise InputError(f"--save {path}: unknown ending; use one of {', '.join(WRITERS)}.")
    if not path.parent.is_dir():
        raise InputError(f"--save {path}: the folder {path.parent} does not exist.")
    if path.exists() and not path.is_file():
        raise InputError(f"--save {path}: a folder or not a regular file. Choose another name.")
    real = path.resolve()
    if not (os.access(real.parent, os.W_OK | os.X_OK) or os.access(real, os.W_OK)):
        raise InputError(f"--save {path}: cannot be written by this user. Choose another folder.")


def save(path: Path, question: str, result: Mapping[str, Any]) -> None:
    """Write `result` (answer, drafts, notes, record) with its question to `path`, in the format of its ending."""
    write_text(path, WRITERS[path.suffix.lower()](question, result))


def write_text(path: Path, text: str) -> None:
    """Write a text, which may have unpaired surrogates, that UTF-8 cannot encode: they become escapes.

    A file that was there is unchanged if the disk is full. It keeps its permissions, and its symbolic link.

    Raises:
        OSError: It cannot be written. The error names the file.
    """
    data = text.encode("utf-8", "backslashreplace")
    try:
        _write(path.resolve(), data)
    except OSError as exc:
        exc.filename = str(path)  # Python does not name it where the disk is full
        raise


def _write(path: Path, data: bytes) -> None:
    if not path.exists():
        write_whole(path, data)
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    try:
        write_whole(path, data, mode=mode)
        path.chmod(mode)  # the umask may have taken some
    except OSError as exc:
        if exc.errno not in _NOT_REPLACED:
            raise
        path.write_bytes(data)


def as_json(question: str, result: Mapping[str, Any]) -> str:
    return json.dumps({"question": question, **result}, indent=2, ensure_ascii=False) + "\n"


def as_markdown(question: str, result: Mapping[str, Any]) -> str:
    heading = " ".join(question.split())[:100]
    parts = [f"# {heading}", *([] if question == heading else [question]), "## Answer"]
    if reason := result.get("error"):
        parts.append(f"{'Incomplete' if result['answer'] else 'No answer'}: {reason}")
    parts += [result["answer"]] if result["answer"] else []
    for draft in result["drafts"]:
        parts.append(f"## Layer {draft['layer']}, {draft['proposer']} ({draft['model']}): {draft['status']}")
        parts.append(draft["text"] or draft["error"] or "")
    for note in result.get("notes") or ():
        parts.append(f"## {note['kind'].capitalize()} by {note['by']}, layer {note['layer']}: {note['status']}")
        parts.append(note["text"] or note["error"] or json.dumps(note["data"], ensure_ascii=False))
    record = json.dumps(result["record"], indent=2, ensure_ascii=False)
    parts += ["## Record", f"{_FENCE}json\n{record}\n{_FENCE}"]
    return "\n\n".join(parts) + "\n"


def as_html(question: str, result: Mapping[str, Any]) -> str:
    from moa_graph.serve.page import report

    return report.html({"question": question, **result})


WRITERS = {".json": as_json, ".md": as_markdown, ".html": as_html}
