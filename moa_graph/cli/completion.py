"""Shell completion: what typer leaves to do in bash and zsh."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

__all__ = ["run_completion"]

_ZSH_FIRST_TAB = """
# zsh loads this file at the first Tab, which has to complete as well.
if [ "$funcstack[1]" = "_moa" ]; then _moa_completion "$@"; fi
"""


def run_completion(run: Callable[[], int]) -> int:
    """Complete a command line, or install the completion.

    Args:
        run: Does it the way typer does.
    """
    if os.environ.get("_MOA_COMPLETE") != "complete_bash":
        code = _ended(run)
        _complete_at_the_first_tab()
        return code
    prefix = _join_at_colons()
    found = StringIO()
    with redirect_stdout(found):
        code = _ended(run)
    for line in found.getvalue().splitlines():
        sys.stdout.write(f"{line.removeprefix(prefix)}\n")
    return code


def _ended(run: Callable[[], int]) -> int:
    """Return the exit code. Typer ends a completion with SystemExit."""
    try:
        return run()
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 0


def _join_at_colons() -> str:
    """Join the words of the line that bash has split at colons, as in `local:smollm2`.

    Returns:
        What bash keeps of the current word, and so must not be in the completions.
    """
    words = os.environ.get("COMP_WORDS", "").split("\n")
    current = int(os.environ.get("COMP_CWORD", "0") or 0)
    words += [""] * (current + 1 - len(words))
    joined: list[str] = []
    place, prefix = current, ""
    for number, word in enumerate(words):
        after_colon = bool(joined) and joined[-1].endswith(":") and number and words[number - 1] == ":"
        if number and (word == ":" or after_colon):
            if number == current:
                prefix = joined[-1] if word != ":" else f"{joined[-1]}:"
            joined[-1] += word
        else:
            joined.append(word)
        if number == current:
            place = len(joined) - 1
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = "\n".join(joined), str(place)
    return prefix


def _complete_at_the_first_tab() -> None:
    """Extend the file that typer installs for zsh."""
    file = Path.home() / ".zfunc" / "_moa"
    if "--install-completion" in sys.argv and file.is_file():
        text = file.read_text(encoding="utf-8")
        if "funcstack" not in text:
            file.write_text(text.rstrip("\n") + "\n" + _ZSH_FIRST_TAB, encoding="utf-8")
