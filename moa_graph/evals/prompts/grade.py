"""Decide whether an answer is right: by a right answer, or by a command."""

from __future__ import annotations

import asyncio
import math
import os
import re
import shlex
import shutil
import string
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal, get_args

from moa_graph.errors import InputError
from moa_graph.graph.combine.checks import end
from moa_graph.mixture import answers
from moa_graph.mixture.answers import AnswerReader
from moa_graph.mixture.equal_answers import normalized, same
from moa_graph.mixture.patterns import check_pattern, occurs

Match = Literal["final", "exact", "number", "choice", "regex"]
"""How an answer is compared with the right one.

`final` reads the final answer ("the answer is ...", a box, the last line). `exact` compares the whole answer. Both
ignore case and spaces. `number` reads the last number, `choice` the option letter. For `regex`, the right answer is a
pattern that must occur; a search that takes longer than half a second finds nothing.
"""
MATCHES: tuple[Match, ...] = get_args(Match)
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.I)
_OUTPUT = 2000
"""Maximum characters kept of a check's output."""
_VARIABLE = 100_000
"""The most bytes of an environment variable. Linux starts no program with one of 128 KiB."""
LATE, ENDED = "it took longer than", "it was ended by signal"
_BROKEN = re.compile(rf"can't open file|Cannot find module|command not found|^(?:{LATE}|{ENDED}) ", re.M)
"""What says that a check did not judge an answer at all."""
_RELATIVE = 1e-6
_OPTIONS = 10
"""Options of a multiple choice without a list of them."""


def check_gold(match: Match, gold: Sequence[str], where: str, *, options: int | None = None) -> None:
    """Check that the right answers can be matched at all.

    Args:
        match: How answers are compared with them.
        gold: The right answers.
        where: How the error names the row.
        options: For `choice`: the number of options; None when unknown.

    Raises:
        InputError: A pattern does not compile, a value is not a number, or an option is not the letter of one.
    """
    letters = string.ascii_uppercase[:options]
    for value in gold:
        if match == "regex":
            try:
                check_pattern(value)
            except ValueError as error:
                raise InputError(f"{where}: {value!r} is not a regular expression: {error}") from error
        elif match == "number" and _number(value) is None:
            raise InputError(f"{where}: the right answer {value!r} is not a number; set another `match`")
        elif match == "choice" and not re.fullmatch(f"[{letters}]", value.strip(" ()."), re.I | re.A):
            known = f"one of the {options} options" if options else "an option letter"
            raise InputError(f"{where}: the right answer {value!r} is not {known}; correct it, or set another `match`")


def is_right(text: str, gold: Sequence[str], match: Match, *, options: int | None = None) -> bool:
    """Return whether an answer matches any of the right ones.

    Args:
        text: The answer.
        gold: The right answers.
        match: How they are compared.
        options: For `choice`: the number of options; ten when unknown.
    """
    return any(_matches(text, value, match, options) for value in gold)


def final_key(text: str, match: Match, *, options: int | None = None) -> str | None:
    """Return what an answer's vote is counted by: its option letter for `choice`, else its final answer."""
    return answers.key(text, _choice(options)) if match == "choice" else answers.key(text)


def _choice(options: int | None) -> AnswerReader:
    return AnswerReader(read="choice", choices=string.ascii_uppercase[: options or _OPTIONS])


def _matches(text: str, gold: str, match: Match, options: int | None) -> bool:
    if match == "regex":
        return occurs(gold, text)
    if match == "choice":
        letter = answers.read(text, _choice(options))
        return letter is not None and letter.upper() == gold.strip(" ().").upper()
    if match == "number":
        said = answers.read(text, AnswerReader(read="final"))
        found = _number(said or "")
        if found is None:
            found = _number(answers.read(text, AnswerReader(read="number")) or "")
        wanted = _number(gold)
        return found is not None and wanted is not None and math.isclose(found, wanted, rel_tol=_RELATIVE, abs_tol=1e-9)
    if match == "exact":
        return same(text, gold)
    said = answers.read(text, AnswerReader(read="final"))
    return same(text, gold) or (said is not None and same(said, gold))


def are_numbers(texts: Sequence[str]) -> bool:
    """Return whether every text is a number."""
    return all(_number(text) is not None for text in texts)


def _number(text: str) -> float | None:
    plain = normalized(text)
    try:
        value = float(Fraction(plain)) if re.fullmatch(r"[-+]?\d+/\d+", plain) else float(plain)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def command_of(text: str) -> list[str]:
    """Split a check command into its arguments. It is not run by a shell.

    Raises:
        InputError: It is empty, has an open quote, or its program does not exist.
    """
    try:
        argv = shlex.split(text)
    except ValueError as error:
        raise InputError(f"--check {text!r} cannot be split into arguments: {error}") from error
    if not argv:
        raise InputError("--check is empty: give a command, such as 'python check.py'")
    if shutil.which(argv[0]) is None:
        raise InputError(f"--check {text!r}: the program {argv[0]!r} was not found; give its path, or install it")
    return argv


async def run_check(
    argv: Sequence[str], text: str, *, seconds: float, variables: Mapping[str, str]
) -> tuple[bool, str]:
    """Run a check with the answer on its standard input.

    The command runs without a shell, without variables that look like secrets, and in its own process group, which is
    ended at the time limit.

    Args:
        argv: The command.
        text: The answer.
        seconds: Time limit.
        variables: Further environment variables: the prompt's id, text and right answer. NUL characters and texts of
            more than 100,000 bytes are left out, because no environment can hold them.

    Returns:
        Whether it exited with 0, and the end of its output or the reason for the failure.
    """
    kept = {name: value for name, value in os.environ.items() if not (_SECRET.search(name) or name in variables)}
    usable = {name: value.replace("\0", "") for name, value in variables.items() if len(value.encode()) <= _VARIABLE}
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**kept, **usable},
        start_new_session=True,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(text.encode()), seconds)
    except TimeoutError:
        return False, f"{LATE} {seconds:g} s"
    finally:
        if process.returncode is None:
            await end(process)
    words = said.decode("utf-8", "replace")[-_OUTPUT:].strip()
    if process.returncode is not None and process.returncode < 0:
        words = f"{words}\n{ENDED} {-process.returncode}".strip()
    return process.returncode == 0, words


async def require_check(argv: Sequence[str], *, seconds: float) -> None:
    """Run a check on an empty answer, which it may refuse; refuse a check that cannot run.

    Args:
        argv: The command.
        seconds: Time limit.

    Raises:
        InputError: The check's own file is missing, a signal ends it, or it exceeds its time limit.
    """
    passed, said = await run_check(
        argv, "", seconds=seconds, variables={"MOA_ID": "", "MOA_PROMPT": "", "MOA_GOLD": ""}
    )
    if not passed and _BROKEN.search(said):
        last = said.splitlines()[-1]
        raise InputError(
            f"--check {shlex.join(argv)!r} fails on an empty answer: {last}. Correct it, or --check-timeout"
        )
