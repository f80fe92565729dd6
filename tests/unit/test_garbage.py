"""Commands that run for long exclude loaded modules from garbage collection. In a process of its own."""

import json
import subprocess
import sys

PROGRAM = """
import gc, json
from moa_graph.cli.garbage import freeze_loaded
freeze_loaded()
first = gc.get_freeze_count()
kept = [[] for _ in range(1000)]
gc.collect()
second = gc.get_freeze_count()
more = [[] for _ in range(1000)]
gc.collect()
print(json.dumps([first, second, gc.get_freeze_count(), len(gc.callbacks)]))
"""


def test_loaded_modules_are_frozen_twice_and_never_again() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    first, second, third, callbacks = json.loads(done.stdout)
    assert first > 1000
    assert first + 1000 <= second == third
    assert callbacks == 0
