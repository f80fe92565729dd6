"""Commands that run for long exclude loaded modules from garbage collection. In a process of its own."""

import json
import subprocess
import sys
from typing import Any

PROGRAM = """
import gc, json
from moa_graph.cli.garbage import loaded_frozen
before = gc.get_freeze_count()
with loaded_frozen():
    first = gc.get_freeze_count()
    kept = [[] for _ in range(1000)]
    if {full}:
        gc.collect()
    second = gc.get_freeze_count()
    more = [[] for _ in range(1000)]
    if {full}:
        gc.collect()
    third = gc.get_freeze_count()
print(json.dumps([before, first, second, third, len(gc.callbacks)]))
gc.collect()
print(gc.get_freeze_count())
"""


def figures(*, full: bool) -> tuple[list[Any], int]:
    """The counts of frozen objects, with full collections while frozen or without, and the count after the end."""
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(full=full)], capture_output=True, text=True, check=True)
    inside, after = done.stdout.splitlines()
    return json.loads(inside), int(after)


def test_loaded_modules_are_frozen_twice_and_never_again() -> None:
    (before, first, second, third, _), _ = figures(full=True)
    assert first > before + 1000
    assert first + 1000 <= second == third


def test_a_program_that_calls_a_command_collects_its_garbage_again_afterwards() -> None:
    """`gc.freeze` in the caller's process would keep its unreachable cycles in memory for good.

    Python 3.12 keeps some hundred objects of its own frozen.
    """
    for full in (True, False):
        (before, first, _, _, callbacks), after = figures(full=full)
        assert callbacks == 0
        assert after < before + 1000 < first


def test_only_a_process_of_its_own_ends_without_a_last_collection() -> None:
    """A caller's process may need the last collection, for example for objects that write when they are deleted."""
    program = """
import atexit, gc, sys
before = gc.get_freeze_count()
atexit.register(lambda: print(gc.get_freeze_count() - before))
from moa_graph.cli import main
sys.argv = ["moa", "--version"]
main({args})
"""
    for args, frozen in (("", True), ("sys.argv[1:]", False)):
        command = [sys.executable, "-c", program.format(args=args)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert (int(done.stdout.splitlines()[-1]) > 1000) is frozen
